import { useState } from "react";
import { api, chosenTenant, type Schemas, take } from "../api/client";
import { session } from "../api/session";
import { Shown } from "../parts/State";
import { Badge, Copy, Time } from "../parts/Text";
import { type Branch, type JsonSchema, treeOf } from "../schemas";
import { useStore } from "../store";
import { useLoad } from "../useLoad";
import { TryMessage } from "./TryMessage";

type RoomType = Schemas["RoomType"];

/** Room types and schemas as a tree to read; versions, and what each would change; a message to try. */
export function Contract() {
  const contract = useLoad(() => take(api.GET("/v1/contract")), [], 10_000);
  return (
    <>
      <h1>Contract</h1>
      <Shown
        of={contract}
        isEmpty={({ room_types }) => !Object.keys(room_types ?? {}).length}
        empty={
          <>
            <strong>There is no room type yet</strong>
            <p>Apply a contract file:</p>
            <Copy text={`roomcast contract apply contract.yaml --tenant ${chosenTenant()}`} />
          </>
        }
      >
        {(now) => (
          <>
            <p className="quiet">
              Version {now.version}. Types for your clients:{" "}
              <Copy text={`roomcast generate typescript --tenant ${chosenTenant()} -o contract.ts`} />
            </p>
            <div className="actions">
              <Document name="openapi" />
              <Document name="asyncapi" />
            </div>
            {Object.entries(now.room_types).map(([name, type]) => (
              <TypeCard key={name} name={name} type={type} />
            ))}
            <TryMessage types={now.room_types} />
          </>
        )}
      </Shown>
      <Versions current={contract.data?.version ?? null} />
    </>
  );
}

const RULES = ["history_messages", "history_seconds", "presence", "slow_consumer", "max_members", "messages_per_second", "acknowledge"] as const;

function TypeCard({ name, type }: { name: string; type: RoomType }) {
  const kinds: [string, Record<string, JsonSchema>][] = [
    ["message", (type.messages ?? {}) as Record<string, JsonSchema>],
    ["signal", (type.signals ?? {}) as Record<string, JsonSchema>],
    ["state", type.state ? { member: type.state as JsonSchema } : {}],
  ];
  return (
    <article className="card wide">
      <header>
        <b className="name">{name}</b> <code className="name">{type.pattern}</code>
        <Badge kind="plain">{type.additional === "refuse" ? "other names refused" : "other names allowed"}</Badge>
      </header>
      <p className="quiet">
        {RULES.filter((rule) => type[rule] !== null && type[rule] !== undefined)
          .map((rule) => `${rule.replaceAll("_", " ")} ${String(type[rule])}`)
          .join(" · ")}
      </p>
      <ul className="tree">
        {kinds.flatMap(([kind, schemas]) =>
          Object.entries(schemas).map(([each, schema]) => (
            <Node key={`${kind} ${each}`} branch={treeOf(each, schema)} kind={kind} />
          )),
        )}
      </ul>
    </article>
  );
}

function Node({ branch, kind }: { branch: Branch; kind?: string }) {
  const words = (
    <>
      {kind && <span className="quiet">{kind} </span>}
      <b>{branch.name}</b>
      {branch.isRequired && (
        <span className="required" title="required">
          {" "}
          required
        </span>
      )}{" "}
      <code>{branch.about}</code> <span className="quiet">{branch.description}</span>
    </>
  );
  if (!branch.children.length) return <li className="leaf">{words}</li>;
  return (
    <li>
      <details open>
        <summary>{words}</summary>
        <ul>
          {branch.children.map((child) => (
            <Node key={child.name} branch={child} />
          ))}
        </ul>
      </details>
    </li>
  );
}

/** A tenant's document needs the key, so it can't be a plain link. */
function Document({ name }: { name: "openapi" | "asyncapi" }) {
  const [error, setError] = useState("");
  const save = async () => {
    try {
      const answer = await take<unknown>(api.GET(`/v1/contract/${name}.json`));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" }));
      link.download = `${chosenTenant()}-${name}.json`;
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (refusal) {
      setError((refusal as Error).message);
    }
  };
  return (
    <>
      <button type="button" onClick={save}>
        Save {name}.json
      </button>
      {error && <span className="bad">{error}</span>}
    </>
  );
}

function Versions({ current }: { current: number | null }) {
  const versions = useLoad(() => take(api.GET("/v1/contract/versions", { params: { query: { limit: 100 } } })), [current]);
  const [chosen, setChosen] = useState<number>();
  const mayCompare = useStore(session)?.scopes.has("manage"); // by a PUT that only tells
  return (
    <section>
      <h2>Versions</h2>
      <Shown of={versions} isEmpty={({ items }) => !items.length} empty={<strong>No contract was saved yet</strong>}>
        {({ items }) => (
          <ul className="plain">
            {items.map((version) => (
              <li key={version.version} className="row">
                <b>Version {version.version}</b>
                <span className="quiet">
                  {version.actor_kind.replace("_", " ")} · <Time at={version.at_ms} />
                </span>
                {version.version !== current && mayCompare && (
                  <button type="button" className="small end" onClick={() => setChosen(version.version)}>
                    Compare
                  </button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Shown>
      {chosen !== undefined && <Differences version={chosen} />}
    </section>
  );
}

async function compare(version: number): Promise<Schemas["ContractChange"][]> {
  const old = await take(api.GET("/v1/contract/versions/{version}", { params: { path: { version } } }));
  const body = { room_types: old.room_types };
  const query = { dry_run: true, breaking: true };
  return (await take(api.PUT("/v1/contract", { params: { query }, body: body as Schemas["Contract"] }))).changes;
}

function Differences({ version }: { version: number }) {
  const changes = useLoad(() => compare(version), [version]);
  return (
    <section aria-label={`Version ${version} compared`}>
      <h3>What going back to version {version} would change</h3>
      <Shown of={changes} isEmpty={(all) => !all.length} empty={<strong>Nothing: the two are the same</strong>}>
        {(all) => (
          <ul className="plain">
            {all.map((change) => (
              <li key={`${change.path} ${change.change}`} className="row">
                <code className="name">{change.path}</code>
                <span>{change.change}</span>
                {change.breaking && <Badge kind="bad">breaks clients</Badge>}
              </li>
            ))}
          </ul>
        )}
      </Shown>
    </section>
  );
}
