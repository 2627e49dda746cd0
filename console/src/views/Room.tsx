import { useRef } from "react";
import { api, type Schemas, take } from "../api/client";
import { session } from "../api/session";
import { compact, count } from "../format";
import { Chart } from "../parts/Chart";
import { Choice } from "../parts/Field";
import { Shown } from "../parts/State";
import { Copy, Tile } from "../parts/Text";
import { adjust, usePlace } from "../place";
import { useStore } from "../store";
import { useLoad } from "../useLoad";
import { History } from "./History";
import { Live } from "./Live";
import { Members } from "./Members";
import { Publish } from "./Publish";

const TABS = ["live", "members", "history"] as const;

export function Room() {
  const place = usePlace();
  const room = place.path[1] ?? "";
  const scopes = useStore(session)?.scopes ?? new Set();
  const tabs = TABS.filter((tab) => tab !== "live" || scopes.has("manage"));
  const tab = tabs.find((each) => each === place.query.get("tab")) ?? tabs[0] ?? "members";
  return (
    <>
      <h1>
        <span className="quiet">Room</span> <Copy text={room} />
      </h1>
      <Facts room={room} />
      <Choice label="What of the room" names={tabs} chosen={tab} choose={(chosen) => adjust({ tab: chosen })} />
      {tab === "live" && <Live room={room} />}
      {tab === "members" && <Members room={room} mayPutOut={scopes.has("disconnect")} />}
      {tab === "history" && <History room={room} />}
      {scopes.has("publish") && <Publish room={room} />}
    </>
  );
}

type Detail = Schemas["RoomDetail"];

/** How it stands, and how it stood since the page was opened. */
function Facts({ room }: { room: string }) {
  const seen = useRef<{ times: number[]; connections: number[]; users: number[] }>({ times: [], connections: [], users: [] });
  const load = async (): Promise<Detail & { seen: typeof seen.current }> => {
    const now = await take(api.GET("/v1/rooms/{room}", { params: { path: { room } } }));
    const before = seen.current;
    seen.current = {
      times: [...before.times, Date.now() / 1000].slice(-450),
      connections: [...before.connections, now.connections].slice(-450),
      users: [...before.users, now.users].slice(-450),
    };
    return { ...now, seen: seen.current };
  };
  const facts = useLoad(load, [room], 2000);
  if (facts.error?.code === "not_found" && !facts.data) {
    return (
      <div className="empty">
        <strong>Nothing was ever seen of this room</strong>
        <p>It begins when somebody joins it or publishes to it.</p>
      </div>
    );
  }
  return (
    <Shown of={facts}>
      {(now) => (
        <div className="beside">
          <div className="tiles">
            <Tile label="Connections" value={count(now.connections)} />
            <Tile label="Users" value={count(now.users)} />
            <Tile label="Room type" value={now.room_type} />
            <div className="tile">
              <span className="label">Position</span>
              {now.position ? <Copy text={now.position} /> : <span className="quiet">keeps no history</span>}
            </div>
          </div>
          <Chart
            title="Occupancy since you came"
            times={now.seen.times}
            lines={[
              { label: "connections", colour: 1, values: now.seen.connections },
              { label: "users", colour: 2, values: now.seen.users },
            ]}
            format={compact}
          />
        </div>
      )}
    </Shown>
  );
}
