import { api, type Schemas, take } from "../api/client";
import { limit, spoken } from "../format";
import { Ask } from "../parts/Dialog";
import { Field } from "../parts/Field";
import { Shown } from "../parts/State";
import { useLoad } from "../useLoad";

interface Use {
  tenant: Schemas["TenantDetail"];
  used: Record<string, number>;
}

/** What is used of a limit now; of rates, the busiest second of the last minute. */
async function readUse(name: string): Promise<Use> {
  const [tenant, counts, stats, usage] = await Promise.all([
    take(api.GET("/v1/tenants/{tenant}", { params: { path: { tenant: name } } })),
    take(api.GET("/v1/counts")),
    take(api.GET("/v1/stats", { params: { query: { seconds: 60 } } })),
    take(api.GET("/v1/usage", { params: { query: { unit: "minute" } } })),
  ]);
  const last = (usage as Schemas["UsagePage"]).items.at(-1);
  const used = {
    max_connections: counts.connections,
    max_rooms: counts.rooms,
    max_history_bytes: last?.history_bytes ?? 0,
    publishes_per_second: Math.max(0, ...stats.items.map((point) => point.publishes)),
    deliveries_per_second: Math.max(0, ...stats.items.map((point) => point.deliveries)),
  };
  return { tenant, used };
}

export function LimitsBesideUse({ name }: { name: string }) {
  const use = useLoad(() => readUse(name), [name], 3000);
  return (
    <Shown of={use} isEmpty={({ tenant }) => !tenant.limits} empty={<strong>A tenant that is being deleted has none</strong>}>
      {({ tenant, used }) => (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
        <div className="scroll" tabIndex={0} role="region" aria-label="Limits">
          <table>
            <thead>
              <tr>
                <th scope="col">Limit</th>
                <th scope="col" className="number">
                  In force
                </th>
                <th scope="col">Used now</th>
                <th scope="col">
                  <span className="hidden">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {Object.entries(tenant.limits ?? {}).map(([key, value]) => (
                <tr key={key}>
                  <th scope="row">{spoken(key)}</th>
                  <td className="number">{limit(key, value)}</td>
                  <td>{key in used ? <Part name={key} used={used[key] ?? 0} of={value} /> : <span className="quiet">–</span>}</td>
                  <td className="number">
                    <Change tenant={name} limitName={key} value={value} version={tenant.version} changed={use.reload} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Shown>
  );
}

function Part({ name, used, of }: { name: string; used: number; of: number | null }) {
  return (
    <span className="part">
      {limit(name, used)}
      {of ? <meter aria-label={`used of ${spoken(name)}`} value={used} max={of} high={of * 0.8} low={of * 0.5} optimum={0} /> : null}
    </span>
  );
}

interface ChangeProps {
  tenant: string;
  limitName: string;
  value: number | null;
  version: number | undefined;
  changed: () => void;
}

function Change({ tenant, limitName, value, version, changed }: ChangeProps) {
  const save = async (form: FormData) => {
    const text = String(form.get("value") ?? "").trim();
    const limits = { [limitName]: text === "" ? null : Number(text) };
    const body = { limits, ...(version !== undefined && { version }) };
    await take(api.PATCH("/v1/tenants/{tenant}", { params: { path: { tenant } }, body }));
    changed();
    return `${spoken(limitName)} is ${limit(limitName, limits[limitName])} now, on all nodes within 2 s; it was ${limit(limitName, value)}.`;
  };
  return (
    <Ask label="Change" title={`Change ${spoken(limitName)}`} quiet act={save}>
      <Field
        label={limitName.endsWith("_bytes") ? "Bytes" : "At most"}
        name="value"
        inputMode="numeric"
        pattern="\d*"
        defaultValue={value ?? ""}
        hint="Empty is no limit."
      />
    </Ask>
  );
}
