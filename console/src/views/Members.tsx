import { api, type Schemas, take } from "../api/client";
import { Ask } from "../parts/Dialog";
import { List } from "../parts/List";
import { Shown } from "../parts/State";
import { Copy, Json, Time } from "../parts/Text";
import { linkTo } from "../place";
import { useLoad } from "../useLoad";

type Member = Schemas["Member"];

const SHOWN = 1000;

export function Members({ room, mayPutOut }: { room: string; mayPutOut: boolean }) {
  const params = { path: { room }, query: { limit: SHOWN } };
  const members = useLoad(() => take(api.GET("/v1/rooms/{room}/members", { params })), [room], 2000);
  return (
    <Shown of={members} isEmpty={(page) => !page.members.length} empty={<strong>Nobody is in the room</strong>}>
      {(page) => (
        <>
          {page.next_cursor && <p className="note">The first {SHOWN} of them, by connection.</p>}
          <List
            label="Members"
            items={page.members}
            keyOf={(member) => member.connection}
            row={(member) => <Row room={room} member={member} mayPutOut={mayPutOut} putOut={members.reload} />}
            rowHeight={64}
          />
        </>
      )}
    </Shown>
  );
}

interface RowProps {
  room: string;
  member: Member;
  mayPutOut: boolean;
  putOut: () => void;
}

function Row({ room, member, mayPutOut, putOut }: RowProps) {
  const act = async () => {
    await take(api.DELETE("/v1/rooms/{room}/members/{user}", { params: { path: { room, user: member.user } } }));
    putOut();
    return `${member.user} was put out, with all connections.`;
  };
  return (
    <div className="row tall">
      <div className="line">
        <a className="name" href={linkTo(["users", member.user])}>
          {member.user}
        </a>
        <Copy text={member.connection} />
        <span className="quiet end">
          joined <Time at={member.joined_at_ms} />
        </span>
        {mayPutOut && (
          <Ask label="Put out" title={`Put ${member.user} out of ${room}?`} danger quiet act={act}>
            <p>All of the user's connections leave the room. Unless the token is changed, they may join again.</p>
          </Ask>
        )}
      </div>
      <div className="line small">
        {member.state !== undefined && <Json value={member.state} />}
        {member.info !== undefined && <Json value={member.info} />}
      </div>
    </div>
  );
}
