import { api, type Schemas, take } from "../api/client";
import { session } from "../api/session";
import { count, parseJson } from "../format";
import { Ask } from "../parts/Dialog";
import { Area, Field } from "../parts/Field";
import { Shown } from "../parts/State";
import { Copy, Time } from "../parts/Text";
import { linkTo, usePlace } from "../place";
import { useStore } from "../store";
import { useLoad } from "../useLoad";

type Connection = Schemas["ConnectionDetail"];
const SHOWN = 50;

interface Whereabouts {
  rooms: string[];
  connections: Connection[];
  all: number;
}

async function find(user: string): Promise<Whereabouts> {
  const found = await take(api.GET("/v1/users/{user}", { params: { path: { user } } }));
  const asked = found.connections.slice(0, SHOWN).map((connection) =>
    take(api.GET("/v1/connections/{connection}", { params: { path: { connection } } })).catch(() => null),
  );
  const connections = (await Promise.all(asked)).filter((each): each is Connection => each !== null);
  return { rooms: found.rooms, connections, all: found.connections.length };
}

export function User() {
  const user = usePlace().path[1] ?? "";
  const scopes = useStore(session)?.scopes ?? new Set();
  const found = useLoad(() => find(user), [user], 3000);
  return (
    <>
      <h1>
        <span className="quiet">User</span> <Copy text={user} />
      </h1>
      <div className="bar-of">
        {scopes.has("publish") && <SendDirect user={user} />}
        {scopes.has("disconnect") && <Disconnect user={user} done={found.reload} />}
      </div>
      <Shown of={found} isEmpty={({ all }) => !all} empty={<strong>The user is not connected</strong>}>
        {({ rooms, connections, all }) => (
          <>
            <h2>Connections</h2>
            {all > SHOWN && <p className="note">{SHOWN} of {all}.</p>}
            <div className="cards">
              {connections.map((each) => (
                <ConnectionCard key={each.connection} shown={each} mayEnd={scopes.has("disconnect")} done={found.reload} />
              ))}
            </div>
            <h2>Rooms</h2>
            {rooms.length ? <RoomLinks rooms={rooms} /> : <p className="quiet">In no room.</p>}
          </>
        )}
      </Shown>
    </>
  );
}

function RoomLinks({ rooms }: { rooms: string[] }) {
  return (
    <ul className="tags">
      {rooms.map((room) => (
        <li key={room}>
          <a className="name" href={linkTo(["rooms", room])}>
            {room}
          </a>
        </li>
      ))}
    </ul>
  );
}

function ConnectionCard({ shown, mayEnd, done }: { shown: Connection; mayEnd: boolean; done: () => void }) {
  const end = async () => {
    const path = { connection: shown.connection };
    await take(api.DELETE("/v1/connections/{connection}", { params: { path } }));
    done();
    return "The connection is closed with 4409.";
  };
  return (
    <article className="card">
      <header>
        <Copy text={shown.connection} />
      </header>
      <dl>
        <dt>Node</dt>
        <dd>
          <Copy text={shown.node} />
        </dd>
        <dt>Since</dt>
        <dd>
          <Time at={shown.connected_at_ms} />
        </dd>
        <dt>Address</dt>
        <dd>{shown.address ?? "not told"}</dd>
        <dt>Rooms</dt>
        <dd>{count(shown.rooms.length)}</dd>
      </dl>
      {mayEnd && (
        <Ask label="Disconnect" title="Disconnect this connection?" danger quiet act={end}>
          <p>It is told not to come back by itself.</p>
        </Ask>
      )}
    </article>
  );
}

function Disconnect({ user, done }: { user: string; done: () => void }) {
  const end = async (form: FormData) => {
    const reconnect = form.get("reconnect") !== null;
    await take(api.DELETE("/v1/users/{user}/connections", { params: { path: { user }, query: { reconnect } } }));
    done();
    return `All connections of ${user} are closed${reconnect ? ", and told to come back" : ""}.`;
  };
  return (
    <Ask label="Disconnect" title={`Disconnect ${user}?`} danger act={end}>
      <label className="check">
        <input type="checkbox" name="reconnect" /> let the clients come back by themselves
      </label>
    </Ask>
  );
}

function SendDirect({ user }: { user: string }) {
  const send = async (form: FormData) => {
    const parsed = parseJson(String(form.get("data")));
    if ("problem" in parsed) throw new Error(parsed.problem);
    const name = String(form.get("name"));
    const body = { data: parsed.value, ...(name && { name }) } as Schemas["DirectBody"];
    await take(api.POST("/v1/users/{user}/messages", { params: { path: { user } }, body }));
    return `Sent to all connections of ${user}.`;
  };
  return (
    <Ask label="Send" title={`Send to ${user}`} act={send}>
      <Field label="Name" name="name" maxLength={200} />
      <Area label="Data, as JSON" name="data" defaultValue='{"text": "hello"}' />
    </Ask>
  );
}
