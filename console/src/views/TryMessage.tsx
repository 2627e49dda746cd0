import { type OutputUnit, Validator } from "@cfworker/json-schema";
import { useMemo, useState } from "react";
import type { Schemas } from "../api/client";
import { parseJson } from "../format";
import { Area } from "../parts/Field";
import { type JsonSchema, sampleOf } from "../schemas";

type RoomTypes = Record<string, Schemas["RoomType"]>;

/** `$.a.0.b` as the server writes it, of `#/a/0/b`. */
const pathOf = (unit: OutputUnit): string => `$${unit.instanceLocation.slice(1).replaceAll("/", ".")}`;

function judge(schema: JsonSchema, text: string): string[] {
  const parsed = parseJson(text);
  if ("problem" in parsed) return [parsed.problem];
  try {
    const { errors } = new Validator(schema, "2020-12", false).validate(parsed.value);
    return errors.filter(({ keyword }) => keyword !== "properties").map((unit) => `${pathOf(unit)}: ${unit.error}`);
  } catch (error) {
    return [`This page can't judge it: ${(error as Error).message}`];
  }
}

/** Says here, without sending, which path of a message fails its schema. */
export function TryMessage({ types }: { types: RoomTypes }) {
  const choices = useMemo(
    () =>
      Object.entries(types).flatMap(([type, { messages }]) =>
        Object.entries((messages ?? {}) as Record<string, JsonSchema>).map(([name, schema]) => ({ label: `${type} · ${name}`, schema })),
      ),
    [types],
  );
  const [chosen, setChosen] = useState(0);
  const [text, setText] = useState<string>();
  const schema = choices[chosen]?.schema;
  if (!schema) return null;
  const shown = text ?? JSON.stringify(sampleOf(schema), null, 2);
  const problems = judge(schema, shown);
  const choose = (index: number) => {
    setChosen(index);
    setText(undefined);
  };
  return (
    <section>
      <h2>Try a message</h2>
      <div className="field">
        <label htmlFor="tried">Message</label>
        <select id="tried" value={chosen} onChange={(event) => choose(Number(event.target.value))}>
          {choices.map(({ label }, index) => (
            <option key={label} value={index}>
              {label}
            </option>
          ))}
        </select>
      </div>
      <Area label="Data, as JSON" value={shown} rows={5} onChange={(event) => setText(event.target.value)} />
      <div role="status">
        {problems.length ? (
          <ul className="note bad">
            {problems.map((problem) => (
              <li key={problem}>{problem}</li>
            ))}
          </ul>
        ) : (
          <p className="note good">It fits.</p>
        )}
      </div>
    </section>
  );
}
