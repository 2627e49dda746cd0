import { type FormEvent, useState } from "react";
import { type ApiError, api, type Schemas, take } from "../api/client";
import { parseJson } from "../format";
import { Area, Field } from "../parts/Field";
import { Copy } from "../parts/Text";
import { sampleOf } from "../schemas";
import { useLoad } from "../useLoad";

type RoomType = Schemas["RoomTypeDetail"];

/** The type whose pattern counts for a room: its exact name, else the longest prefix. */
function typeOf(room: string, types: RoomType[]): RoomType | undefined {
  const fits = ({ pattern }: RoomType) =>
    pattern === room || (pattern.endsWith("*") && room.startsWith(pattern.slice(0, -1)));
  const weight = ({ pattern }: RoomType) => (pattern === room ? Number.POSITIVE_INFINITY : pattern.length);
  return types.filter(fits).sort((one, other) => weight(other) - weight(one))[0];
}

/** Publish as the tenant's server; where the room type has schemas, their names are offered, with a sample of each. */
export function Publish({ room }: { room: string }) {
  const types = useLoad(() => take(api.GET("/v1/room-types", { params: { query: { limit: 1000 } } })), [room]);
  const schemas = typeOf(room, types.data?.items ?? [])?.messages ?? {};
  const names = Object.keys(schemas);
  const [name, setName] = useState("");
  const [text, setText] = useState('{"text": "hello"}');
  const [outcome, setOutcome] = useState<Outcome>();
  const parsed = parseJson(text);
  const choose = (chosen: string) => {
    setName(chosen);
    const schema = schemas[chosen];
    if (schema) setText(JSON.stringify(sampleOf(schema), null, 2));
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if ("problem" in parsed) return;
    const body = { data: parsed.value, ...(name && { name }) } as Schemas["PublishBody"];
    try {
      setOutcome({ answer: await take(api.POST("/v1/rooms/{room}/messages", { params: { path: { room } }, body })) });
    } catch (error) {
      setOutcome({ error: error as ApiError });
    }
  };
  return (
    <section>
      <h2>Publish</h2>
      <form className="publish" onSubmit={submit}>
        <Field
          label="Name"
          list="message-names"
          value={name}
          maxLength={200}
          onChange={(event) => choose(event.target.value)}
          hint={names.length ? `Of the room type: ${names.join(", ")}` : "May be left out."}
        />
        <datalist id="message-names">
          {names.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
        <Area
          label="Data, as JSON"
          value={text}
          rows={3}
          onChange={(event) => setText(event.target.value)}
          aria-invalid={"problem" in parsed}
          {...("problem" in parsed && { hint: parsed.problem })}
        />
        <button type="submit" className="main" disabled={"problem" in parsed}>
          Publish
        </button>
      </form>
      {outcome && <Answer outcome={outcome} />}
    </section>
  );
}

interface Outcome {
  answer?: Schemas["PublishAnswer"];
  error?: ApiError;
}

function Answer({ outcome: { answer, error } }: { outcome: Outcome }) {
  if (error) {
    return (
      <p className="note bad" role="alert">
        <b>{error.code}</b> {error.message} {error.problem?.path && <code>{error.problem.path}</code>}
      </p>
    );
  }
  return (
    <p className="note good" role="status">
      {answer?.duplicate ? "It was there before" : "Published"}
      {answer?.position ? (
        <>
          {" "}
          at <Copy text={answer.position} />
        </>
      ) : (
        ", in a room that keeps no history"
      )}
    </p>
  );
}
