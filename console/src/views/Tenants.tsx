import { useState } from "react";
import { api, type Schemas, take } from "../api/client";
import { Ask } from "../parts/Dialog";
import { Area, Field } from "../parts/Field";
import { List } from "../parts/List";
import { Shown } from "../parts/State";
import { Badge, Secret, Time } from "../parts/Text";
import { adjust, linkTo, usePlace } from "../place";
import { useRested } from "../useLoad";
import { usePages } from "../usePages";

type Tenant = Schemas["TenantDetail"];

export function Tenants() {
  const prefix = usePlace().query.get("q") ?? "";
  const rested = useRested(prefix);
  const tenants = usePages(
    (cursor) => take(api.GET("/v1/tenants", { params: { query: { prefix: rested, limit: 200, ...(cursor && { cursor }) } } })),
    [rested],
  );
  return (
    <>
      <div className="head">
        <h1>Tenants</h1>
        <NewTenant made={tenants.reload} />
      </div>
      <Field
        label="Find by the beginning of the name"
        type="search"
        value={prefix}
        pattern="[a-z0-9-]*"
        onChange={(event) => adjust({ q: event.target.value.toLowerCase().replace(/[^a-z0-9-]/g, "") })}
      />
      <Shown
        of={tenants}
        isEmpty={(items) => !items.length}
        empty={<strong>{prefix ? `No tenant begins with ${prefix}` : "There is no tenant yet"}</strong>}
      >
        {(items) => (
          <List label="Tenants" items={items} keyOf={(tenant) => tenant.tenant} more={tenants.more} row={Row} />
        )}
      </Shown>
    </>
  );
}

function Row(tenant: Tenant) {
  return (
    <a className="row" href={linkTo(["tenants", tenant.tenant], { tenant: tenant.tenant })}>
      <b className="name">{tenant.tenant}</b>
      <StateBadge state={tenant.state} />
      <span className="quiet end">
        made <Time at={tenant.created_at_ms} />
      </span>
    </a>
  );
}

export function StateBadge({ state }: { state: Tenant["state"] }) {
  return <Badge kind={state === "active" ? "good" : state === "suspended" ? "warn" : "bad"}>{state}</Badge>;
}

/** Origins, one a line. */
export const linesOf = (text: FormDataEntryValue | null): string[] => String(text ?? "").split(/\s+/).filter(Boolean);

function NewTenant({ made }: { made: () => void }) {
  const [name, setName] = useState("");
  const make = async (form: FormData) => {
    const origins = linesOf(form.get("origins"));
    const body = { name, ...(origins.length > 0 && { origins }) };
    const answer = await take(api.POST("/v1/tenants", { body }));
    made();
    return (
      <>
        <p>
          Tenant <b>{answer.tenant.tenant}</b> is there.
        </p>
        <Secret label="API key of all scopes" text={answer.api_key} />
        <Secret label={`Secret of signing key ${answer.signing_key.kid}`} text={answer.signing_key.secret} />
      </>
    );
  };
  return (
    <Ask label="Make a tenant" title="Make a tenant" act={make}>
      <Field
        label="Name"
        name="name"
        required
        pattern="[a-z0-9][a-z0-9\-]{0,62}"
        title="Small letters, digits and hyphens"
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Area label="Origins from which browsers may connect" name="origins" hint="One a line; none: any." rows={2} />
    </Ask>
  );
}
