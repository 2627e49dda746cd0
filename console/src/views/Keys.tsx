import { api, type Schemas, take } from "../api/client";
import { ALL_SCOPES } from "../api/session";
import { count } from "../format";
import { Ask } from "../parts/Dialog";
import { Area, Field } from "../parts/Field";
import { Shown } from "../parts/State";
import { Badge, Copy, Secret, Time } from "../parts/Text";
import { useLoad } from "../useLoad";

type ApiKey = Schemas["ApiKeyDetail"];
type SigningKey = Schemas["SigningKeyUse"];

export function Keys() {
  const query = { limit: 1000 };
  const apiKeys = useLoad(() => take(api.GET("/v1/keys", { params: { query } })), [], 5000);
  const signingKeys = useLoad(() => take(api.GET("/v1/signing-keys", { params: { query } })), [], 2000);
  return (
    <>
      <div className="head">
        <h2>API keys</h2>
        <NewApiKey made={apiKeys.reload} />
      </div>
      <Shown of={apiKeys} isEmpty={({ items }) => !items.length} empty={<strong>There is no API key</strong>}>
        {({ items }) => (
          <div className="cards">
            {items.map((key) => (
              <ApiKeyCard key={key.key_id} shown={key} changed={apiKeys.reload} />
            ))}
          </div>
        )}
      </Shown>
      <div className="head">
        <h2>Signing keys</h2>
        <NewSigningKey made={signingKeys.reload} />
      </div>
      <Shown of={signingKeys} isEmpty={({ items }) => !items.length} empty={<strong>There is no signing key</strong>}>
        {({ items }) => (
          <div className="cards">
            {items.map((key) => (
              <SigningKeyCard key={key.kid} shown={key} newer={newerThan(key, items)} changed={signingKeys.reload} />
            ))}
          </div>
        )}
      </Shown>
    </>
  );
}

/** To rotate is to make a second key, then to wait until nobody is left on the first. */
const newerThan = (key: SigningKey, all: SigningKey[]): SigningKey | undefined =>
  all.find((other) => other.created_at_ms > key.created_at_ms && other.revoked_at_ms === null);

function ApiKeyCard({ shown, changed }: { shown: ApiKey; changed: () => void }) {
  const revoke = async () => {
    await take(api.DELETE("/v1/keys/{key_id}", { params: { path: { key_id: shown.key_id } } }));
    changed();
    return "Revoked: requests with it are answered 401.";
  };
  return (
    <article className={`card ${shown.revoked_at_ms ? "over" : ""}`}>
      <header>
        <b className="name">{shown.name || "unnamed"}</b>
        <Life shown={shown} />
      </header>
      <Copy text={shown.key_id} />
      <p>{shown.scopes.join(" · ")}</p>
      <p className="quiet">
        made <Time at={shown.created_at_ms} />, last used <Time at={shown.last_used_at_ms} />
      </p>
      {!shown.revoked_at_ms && (
        <Ask label="Revoke" title={`Revoke ${shown.name || shown.key_id}?`} danger quiet act={revoke}>
          <p>Requests with this key are refused from then on.</p>
        </Ask>
      )}
    </article>
  );
}

function Life({ shown }: { shown: { revoked_at_ms: number | null; expires_at_ms: number | null } }) {
  if (shown.revoked_at_ms) return <Badge kind="bad">revoked</Badge>;
  if (shown.expires_at_ms && shown.expires_at_ms < Date.now()) return <Badge kind="bad">expired</Badge>;
  return <Badge kind="good">good</Badge>;
}

interface SigningKeyProps {
  shown: SigningKey;
  newer: SigningKey | undefined;
  changed: () => void;
}

function SigningKeyCard({ shown, newer, changed }: SigningKeyProps) {
  const revoke = async () => {
    await take(api.DELETE("/v1/signing-keys/{kid}", { params: { path: { kid: shown.kid } } }));
    changed();
    return "Revoked: its sockets are closed with 4401, and come back with a new token.";
  };
  const isOld = newer && !shown.revoked_at_ms;
  return (
    <article className={`card ${shown.revoked_at_ms ? "over" : ""}`}>
      <header>
        <b className="name">{shown.name || "unnamed"}</b>
        <Life shown={shown} />
      </header>
      <Copy text={shown.kid} />
      <p>
        {shown.algorithm} · <b>{count(shown.connections)}</b> live connections{isOld ? " still on this older key" : ""}
      </p>
      <p className="quiet">
        made <Time at={shown.created_at_ms} />, last used <Time at={shown.last_used_at_ms} />
      </p>
      {!shown.revoked_at_ms && (
        <Ask label="Revoke" title={`Revoke ${shown.kid}?`} danger quiet act={revoke}>
          <p>
            {count(shown.connections)} live connections came with it; they are closed.{" "}
            {newer ? "A newer key is there." : "There is no newer key: make one first, and sign with it."}
          </p>
        </Ask>
      )}
    </article>
  );
}

function NewApiKey({ made }: { made: () => void }) {
  const make = async (form: FormData) => {
    const scopes = ALL_SCOPES.filter((scope) => form.get(scope) !== null);
    const answer = await take(api.POST("/v1/keys", { body: { name: String(form.get("name")), scopes } }));
    made();
    return <Secret label="API key" text={answer.api_key} />;
  };
  return (
    <Ask label="Make an API key" title="Make an API key" act={make}>
      <Field label="Name, for people" name="name" maxLength={200} />
      <fieldset>
        <legend>Scopes</legend>
        {ALL_SCOPES.map((scope) => (
          <label key={scope} className="check">
            <input type="checkbox" name={scope} defaultChecked={scope === "read"} /> {scope}
          </label>
        ))}
      </fieldset>
    </Ask>
  );
}

function NewSigningKey({ made }: { made: () => void }) {
  const make = async (form: FormData) => {
    const pem = String(form.get("pem") ?? "").trim();
    const algorithm = form.get("algorithm") as "HS256" | "ES256" | "EdDSA";
    const body = { name: String(form.get("name")), algorithm, ...(pem && { pem }) };
    const answer = await take(api.POST("/v1/signing-keys", { body }));
    made();
    if (!answer.secret) return `Key ${answer.kid} is good beside the others. Sign with it, then revoke the older one.`;
    return <Secret label={`Secret of ${answer.kid}`} text={answer.secret} />;
  };
  return (
    <Ask label="Make a signing key" title="Make a signing key, to rotate to" act={make}>
      <Field label="Name, for people" name="name" maxLength={200} />
      <div className="field">
        <label htmlFor="algorithm">Algorithm</label>
        <select id="algorithm" name="algorithm">
          <option>HS256</option>
          <option>ES256</option>
          <option>EdDSA</option>
        </select>
      </div>
      <Area label="Public key as PEM, for ES256 and EdDSA" name="pem" rows={3} hint="HS256 has its secret made here." />
    </Ask>
  );
}
