import { api, type Schemas, take } from "../api/client";
import { Field } from "../parts/Field";
import { List } from "../parts/List";
import { Shown } from "../parts/State";
import { Copy, Time } from "../parts/Text";
import { adjust, linkTo, usePlace } from "../place";
import { usePages } from "../usePages";

type Connection = Schemas["ConnectionDetail"];

/** Who is connected; of those on the loaded pages the ones that fit, and any user by the whole name. */
export function Users() {
  const wanted = usePlace().query.get("q") ?? "";
  const pages = usePages(
    (cursor) => take(api.GET("/v1/connections", { params: { query: { limit: 500, ...(cursor && { cursor }) } } })),
    [],
  );
  const fits = ({ user, connection, node }: Connection) => [user, connection, node].some((text) => text.includes(wanted));
  return (
    <>
      <h1>Users and connections</h1>
      <form className="find" role="search" onSubmit={open}>
        <Field
          label="Find by user, connection or node; or open a user by the whole name"
          type="search"
          name="user"
          value={wanted}
          onChange={(event) => adjust({ q: event.target.value })}
        />
        <button type="submit" disabled={!wanted}>
          Open user
        </button>
        <button type="button" onClick={pages.reload}>
          Load again
        </button>
      </form>
      <Shown of={pages} isEmpty={(items) => !items.some(fits)} empty={<strong>{wanted ? "Nobody fits" : "Nobody is connected"}</strong>}>
        {(items) => (
          <List
            label="Connections"
            items={items.filter(fits)}
            keyOf={({ connection }) => connection}
            more={pages.more}
            rowHeight={64}
            row={Row}
          />
        )}
      </Shown>
    </>
  );
}

function open(event: React.FormEvent<HTMLFormElement>): void {
  event.preventDefault();
  const user = String(new FormData(event.currentTarget).get("user") ?? "");
  if (user) location.hash = linkTo(["users", user]);
}

function Row(shown: Connection) {
  return (
    <div className="row tall">
      <div className="line">
        <a className="name" href={linkTo(["users", shown.user])}>
          {shown.user}
        </a>
        <Copy text={shown.connection} />
        <span className="quiet end">
          since <Time at={shown.connected_at_ms} />
        </span>
      </div>
      <div className="line small quiet">
        <span>node {shown.node}</span>
        <span>{shown.rooms.length} rooms</span>
        {shown.address && <span>{shown.address}</span>}
      </div>
    </div>
  );
}
