import { api, type Schemas, take } from "../api/client";
import { List } from "../parts/List";
import { Shown } from "../parts/State";
import { Copy, Json, Time } from "../parts/Text";
import { usePages } from "../usePages";

type Item = Schemas["AuditItem"];

export function Audit() {
  const audit = usePages((cursor) => take(api.GET("/v1/audit", { params: { query: cursor ? { cursor } : {} } })), []);
  return (
    <Shown of={audit} isEmpty={(items) => !items.length} empty={<strong>Nothing was changed yet</strong>}>
      {(items) => (
        <List
          label="Changes, the newest first"
          items={items}
          keyOf={(item) => `${item.at_ms} ${item.action} ${item.subject}`}
          more={audit.more}
          rowHeight={76}
          row={Change}
        />
      )}
    </Shown>
  );
}

function Change(item: Item) {
  return (
    <div className="row tall">
      <div className="line">
        <b>{item.action}</b>
        <span className="name">{item.subject}</span>
        <span className="quiet end">
          {item.actor_kind.replace("_", " ")} {item.actor_id && <Copy text={item.actor_id} />} · <Time at={item.at_ms} />
        </span>
      </div>
      <div className="line small">
        {item.before !== null && <Json value={item.before} />}
        {item.before !== null && item.after !== null && <span aria-hidden="true">→</span>}
        {item.after !== null && <Json value={item.after} />}
      </div>
    </div>
  );
}
