import { api, chosenTenant, type Schemas, take } from "../api/client";
import { session } from "../api/session";
import { count } from "../format";
import { Ask } from "../parts/Dialog";
import { Area, Choice } from "../parts/Field";
import { Shown } from "../parts/State";
import { Tile, Time } from "../parts/Text";
import { adjust, linkTo, usePlace } from "../place";
import { useStore } from "../store";
import { type Loaded, useLoad } from "../useLoad";
import { Audit } from "./Audit";
import { Keys } from "./Keys";
import { LimitsBesideUse } from "./Limits";
import { linesOf, StateBadge } from "./Tenants";

type Detail = Schemas["TenantDetail"];
const TABS = ["limits", "keys", "audit"] as const;

/** One tenant: for the operator whole, for an API key of scope manage its keys and its audit. */
export function Tenant() {
  const isOperator = useStore(session)?.kind === "operator";
  const name = chosenTenant() ?? "";
  const tabs = isOperator ? TABS : TABS.slice(1);
  const asked = usePlace().query.get("tab");
  const tab = tabs.find((each) => each === asked) ?? tabs[0] ?? "keys";
  return (
    <>
      <h1 className="name">{name}</h1>
      {isOperator && <State name={name} />}
      <Choice label="What of the tenant" names={tabs} chosen={tab} choose={(chosen) => adjust({ tab: chosen })} />
      {tab === "limits" && <LimitsBesideUse name={name} />}
      {tab === "keys" && <Keys />}
      {tab === "audit" && <Audit />}
    </>
  );
}

function State({ name }: { name: string }) {
  const path = { tenant: name };
  const tenant = useLoad(() => take(api.GET("/v1/tenants/{tenant}", { params: { path } })), [name], 2000);
  return (
    <Shown of={tenant}>
      {(now) =>
        now.state === "deleting" ? (
          <div className="tiles">
            <Tile label="Being deleted" value={`${count(now.removed_keys ?? 0)} keys`} detail="removed from Redis so far" />
          </div>
        ) : (
          <div className="bar-of">
            <StateBadge state={now.state} />
            <span className="quiet">
              made <Time at={now.created_at_ms} />, version {now.version}
            </span>
            <span className="actions">
              <a className="button small" href={linkTo(["rooms"], { tenant: name })}>
                Rooms
              </a>
              <Origins name={name} tenant={tenant} now={now} />
              <Changes name={name} tenant={tenant} now={now} />
            </span>
          </div>
        )
      }
    </Shown>
  );
}

interface Known {
  name: string;
  tenant: Loaded<Detail>;
  now: Detail;
}

function Origins({ name, tenant, now }: Known) {
  const save = async (form: FormData) => {
    const origins = linesOf(form.get("origins"));
    const body = { origins, ...(now.version !== undefined && { version: now.version }) };
    await take(api.PATCH("/v1/tenants/{tenant}", { params: { path: { tenant: name } }, body }));
    tenant.reload();
    return origins.length ? `Browsers may connect from ${origins.join(", ")}.` : "Browsers may connect from anywhere.";
  };
  return (
    <Ask label="Origins" title={`Origins of ${name}`} quiet act={save}>
      <Area label="Exact origins, one a line" name="origins" defaultValue={now.origins?.join("\n")} hint="None: any." />
    </Ask>
  );
}

function Changes({ name, tenant, now }: Known) {
  const params = { path: { tenant: name } };
  const set = async (state: "suspend" | "resume") => {
    await take(api.POST(`/v1/tenants/{tenant}/${state}`, { params }));
    tenant.reload();
    return state === "suspend" ? "Suspended: its sockets close within 2 s." : "Active again: its keys and tokens are good.";
  };
  const remove = async (form: FormData) => {
    if (form.get("name") !== name) throw new Error("That is not the tenant's name.");
    await take(api.DELETE("/v1/tenants/{tenant}", { params }));
    tenant.reload();
    return "Its keys have ended and its sockets close. What it had in Redis is removed bit by bit; this page counts.";
  };
  return (
    <>
      {now.state === "active" ? (
        <Ask label="Suspend" title={`Suspend ${name}?`} danger quiet act={() => set("suspend")}>
          <p>All its sockets are closed, and its keys and tokens refused, until it is resumed.</p>
        </Ask>
      ) : (
        <Ask label="Resume" title={`Resume ${name}?`} quiet act={() => set("resume")}>
          <p>Its keys and tokens are good again.</p>
        </Ask>
      )}
      <Ask label="Delete" title={`Delete ${name}?`} danger quiet act={remove}>
        <p>Its rooms, histories, keys and usage go for good.</p>
        <div className="field">
          <label htmlFor="typed-name">Type its name to go on</label>
          <input id="typed-name" name="name" autoComplete="off" required />
        </div>
      </Ask>
    </>
  );
}
