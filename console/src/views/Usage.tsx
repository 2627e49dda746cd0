import { useMemo, useState } from "react";
import { api, chosenTenant, type Schemas, take } from "../api/client";
import { session } from "../api/session";
import { bytes, compact, count } from "../format";
import { Chart } from "../parts/Chart";
import { Choice } from "../parts/Field";
import { Shown } from "../parts/State";
import { adjust, usePlace } from "../place";
import { useLoad } from "../useLoad";

type Point = Schemas["UsagePoint"];
const UNITS = ["minute", "hour", "day"] as const;
const SECONDS = { minute: 60, hour: 3600, day: 86400 };

interface Shown {
  points: Point[];
  limits: Record<string, number | null>;
}

async function read(unit: (typeof UNITS)[number]): Promise<Shown> {
  const isOperator = session.value?.kind === "operator";
  const path = { tenant: chosenTenant() ?? "" };
  const [usage, tenant] = await Promise.all([
    take(api.GET("/v1/usage", { params: { query: { unit, limit: 1000 } } })),
    isOperator ? take(api.GET("/v1/tenants/{tenant}", { params: { path } })) : null,
  ]);
  return { points: (usage as Schemas["UsagePage"]).items, limits: tenant?.limits ?? {} };
}

export function Usage() {
  const asked = usePlace().query.get("unit");
  const unit = UNITS.find((each) => each === asked) ?? "hour";
  const usage = useLoad(() => read(unit), [unit], 10_000);
  return (
    <>
      <div className="head">
        <h1>Usage</h1>
        <Csv unit={unit} />
      </div>
      <Choice label="By" names={UNITS} chosen={unit} choose={(chosen) => adjust({ unit: chosen })} />
      <Shown
        of={usage}
        isEmpty={({ points }) => !points.length}
        empty={
          <>
            <strong>Nothing was used in this time</strong>
            <p>Other nodes' part shows when the minute is over.</p>
          </>
        }
      >
        {(shown) => (
          <>
            <Charts shown={shown} seconds={SECONDS[unit]} />
            <Table points={shown.points} />
          </>
        )}
      </Shown>
    </>
  );
}

function Charts({ shown: { points, limits }, seconds }: { shown: Shown; seconds: number }) {
  const times = useMemo(() => points.map((point) => point.starts_at_ms / 1000), [points]);
  const of = (read: (point: Point) => number) => points.map(read);
  const total = ({ messages_in }: Point) => messages_in.websocket + messages_in.http;
  const perUnit = (name: string) => (limits[name] ? (limits[name] ?? 0) * seconds : null);
  return (
    <div className="charts">
      <Chart
        title="Peak connections"
        times={times}
        lines={[{ label: "connections", colour: 1, values: of((point) => point.peak_connections) }]}
        format={compact}
        ceiling={limits.max_connections ?? null}
      />
      <Chart
        title="Messages in"
        times={times}
        lines={[{ label: "messages", colour: 1, values: of(total) }]}
        format={compact}
        ceiling={perUnit("publishes_per_second")}
      />
      <Chart
        title="Deliveries"
        times={times}
        lines={[{ label: "deliveries", colour: 1, values: of((point) => point.deliveries) }]}
        format={compact}
        ceiling={perUnit("deliveries_per_second")}
      />
      <Chart
        title="Bytes"
        times={times}
        lines={[
          { label: "out", colour: 1, values: of((point) => point.bytes_out) },
          { label: "in", colour: 2, values: of((point) => point.bytes_in) },
        ]}
        format={bytes}
      />
      <Chart
        title="History kept"
        times={times}
        lines={[{ label: "bytes", colour: 1, values: of((point) => point.history_bytes) }]}
        format={bytes}
        ceiling={limits.max_history_bytes ?? null}
      />
    </div>
  );
}

const COLUMNS: [string, (point: Point) => string][] = [
  ["Peak connections", (point) => count(point.peak_connections)],
  ["Connection minutes", (point) => count(Math.round(point.connection_minutes))],
  ["In by socket", (point) => count(point.messages_in.websocket)],
  ["In by HTTP", (point) => count(point.messages_in.http)],
  ["Deliveries", (point) => count(point.deliveries)],
  ["Bytes in", (point) => bytes(point.bytes_in)],
  ["Bytes out", (point) => bytes(point.bytes_out)],
  ["Requests", (point) => count(point.api_requests)],
  ["Peak rooms", (point) => count(point.peak_rooms)],
  ["Refused", (point) => count(Object.values(point.refused).reduce((sum, each) => sum + each, 0))],
];

function Table({ points }: { points: Point[] }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <div className="scroll" tabIndex={0} role="region" aria-label="Usage as a table">
      <table>
        <thead>
          <tr>
            <th scope="col">Beginning (UTC)</th>
            {COLUMNS.map(([title]) => (
              <th scope="col" key={title} className="number">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {points.toReversed().map((point) => (
            <tr key={point.starts_at_ms}>
              <th scope="row">{new Date(point.starts_at_ms).toISOString().slice(0, 16).replace("T", " ")}</th>
              {COLUMNS.map(([title, read]) => (
                <td key={title} className="number">
                  {read(point)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Csv({ unit }: { unit: (typeof UNITS)[number] }) {
  const [error, setError] = useState("");
  const save = async () => {
    try {
      const params = { query: { unit, limit: 1000 } };
      const asked = api.GET("/v1/usage", { params, headers: { Accept: "text/csv" }, parseAs: "text" });
      const table = (await take(asked)) as unknown as string;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([table], { type: "text/csv" }));
      link.download = `usage-${chosenTenant()}-${unit}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
      setError("");
    } catch (refusal) {
      setError((refusal as Error).message);
    }
  };
  return (
    <>
      <button type="button" onClick={save}>
        Save as CSV
      </button>
      {error && (
        <p className="note bad" role="alert">
          {error}
        </p>
      )}
    </>
  );
}
