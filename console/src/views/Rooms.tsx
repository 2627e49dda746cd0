import { useEffect } from "react";
import { api, type Schemas, take } from "../api/client";
import { count, many } from "../format";
import { Field } from "../parts/Field";
import { List } from "../parts/List";
import { Shown } from "../parts/State";
import { Tile } from "../parts/Text";
import { adjust, linkTo, usePlace } from "../place";
import { useLoad, useRested } from "../useLoad";
import { usePages } from "../usePages";

const NOT_IN_NAMES = /[^A-Za-z0-9_\-=@,.;:]/g;

export function Rooms() {
  const prefix = usePlace().query.get("q") ?? "";
  const rested = useRested(prefix);
  const counts = useLoad(() => take(api.GET("/v1/counts")), [], 2000);
  const rooms = usePages(
    (cursor) => take(api.GET("/v1/rooms", { params: { query: { prefix: rested, limit: 500, ...(cursor && { cursor }) } } })),
    [rested],
  );
  const occupied = counts.data?.rooms;
  // biome-ignore lint/correctness/useExhaustiveDependencies: rooms came or went; who has scrolled on is left alone
  useEffect(() => {
    if (occupied !== undefined && rooms.loadedAt && rooms.items.length <= 500) rooms.reload();
  }, [occupied]);
  return (
    <>
      <h1>Rooms</h1>
      <Shown of={counts}>
        {(now) => (
          <div className="tiles">
            <Tile label="Occupied rooms" value={count(now.rooms)} />
            <Tile label="Connections" value={count(now.connections)} />
            <Tile label="Users" value={count(now.users)} />
          </div>
        )}
      </Shown>
      <form className="find" role="search" onSubmit={open}>
        <Field
          label="Find by the beginning of the name, or open by its whole name"
          type="search"
          name="room"
          value={prefix}
          onChange={(event) => adjust({ q: event.target.value.replace(NOT_IN_NAMES, "") })}
        />
        <button type="submit" disabled={!prefix}>
          Open
        </button>
      </form>
      <Shown
        of={rooms}
        isEmpty={(items) => !items.length}
        empty={
          <>
            <strong>{prefix ? `No occupied room begins with ${prefix}` : "Nobody is in a room"}</strong>
            <p>A room that is empty now may still have a history: open it by its whole name.</p>
          </>
        }
      >
        {(items) => <List label="Occupied rooms" items={items} keyOf={({ room }) => room} more={rooms.more} row={Row} />}
      </Shown>
    </>
  );
}

function open(event: React.FormEvent<HTMLFormElement>): void {
  event.preventDefault();
  const room = String(new FormData(event.currentTarget).get("room") ?? "");
  if (room) location.hash = linkTo(["rooms", room]);
}

function Row(room: Schemas["RoomSummary"]) {
  return (
    <a className="row" href={linkTo(["rooms", room.room])}>
      <b className="name">{room.room}</b>
      <span className="quiet end">
        {many(room.connections, "connection")} · {many(room.users, "user")}
      </span>
    </a>
  );
}
