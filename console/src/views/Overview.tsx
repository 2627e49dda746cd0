import { useMemo } from "react";
import { api, chosenTenant, type Schemas, take } from "../api/client";
import { session } from "../api/session";
import { bytes, compact, count, duration, milliseconds } from "../format";
import { Chart } from "../parts/Chart";
import { Ask } from "../parts/Dialog";
import { Shown } from "../parts/State";
import { Badge, Copy, Time, Tile } from "../parts/Text";
import { useStore } from "../store";
import { useLoad } from "../useLoad";
import { type Point, useStats } from "../useStats";

/** Is it up, and fast: for the operator of all nodes, for a tenant of its own. */
export function Overview() {
  const isOperator = useStore(session)?.kind === "operator";
  const stats = useStats(isOperator);
  return (
    <>
      <h1>Overview{isOperator ? "" : ` of ${chosenTenant()}`}</h1>
      {!isOperator && <Counts />}
      <section aria-label="The last 15 minutes">
        <Shown of={stats}>{(points) => <Charts points={points} />}</Shown>
      </section>
      {isOperator && <Nodes />}
      {isOperator && <Redis />}
    </>
  );
}

function Counts() {
  const counts = useLoad(() => take(api.GET("/v1/counts")), [], 2000);
  return (
    <Shown of={counts}>
      {(now) => (
        <div className="tiles">
          <Tile label="Connections" value={count(now.connections)} />
          <Tile label="Users" value={count(now.users)} />
          <Tile label="Occupied rooms" value={count(now.rooms)} />
        </div>
      )}
    </Shown>
  );
}

const perSecond = (value: number) => `${compact(value)}/s`;
const bytesPerSecond = (value: number) => `${bytes(value)}/s`;
const wait = (value: number) => milliseconds(value);

function Charts({ points }: { points: Point[] }) {
  const columns = useMemo(() => {
    const of = (name: Exclude<keyof Point, "refused">) => points.map((point) => point[name]);
    const codes = new Map<string, number>();
    for (const point of points)
      for (const [code, times] of Object.entries(point.refused)) codes.set(code, (codes.get(code) ?? 0) + times);
    const worst = [...codes].sort((one, other) => other[1] - one[1]).slice(0, 3);
    const times = points.map((point) => point.at_ms / 1000);
    const refusals = worst.map(([code], index) => ({
      label: code,
      colour: index + 1,
      values: points.map((point) => point.refused[code] ?? 0),
    }));
    return { of, times, refusals };
  }, [points]);
  const { of, times, refusals } = columns;
  const line = (label: string, name: Exclude<keyof Point, "refused">, colour: number) => ({ label, colour, values: of(name) });
  return (
    <div className="charts">
      <Chart title="Connections" times={times} lines={[line("open", "connections", 1)]} format={compact} />
      <Chart
        title="Messages"
        times={times}
        lines={[line("deliveries", "deliveries", 1), line("publishes", "publishes", 2)]}
        format={perSecond}
      />
      <Chart
        title="Publish to delivery"
        times={times}
        lines={[line("p50", "p50_ms", 1), line("p99", "p99_ms", 3)]}
        format={wait}
      />
      <Chart
        title="Bytes"
        times={times}
        lines={[line("out", "bytes_out", 1), line("in", "bytes_in", 2)]}
        format={bytesPerSecond}
      />
      <Chart
        title="Refusals"
        times={times}
        lines={refusals.length ? refusals : [{ label: "none", colour: 1, values: points.map(() => 0) }]}
        format={perSecond}
      />
    </div>
  );
}

function Nodes() {
  const nodes = useLoad(() => take(api.GET("/v1/nodes")), [], 2000);
  return (
    <section>
      <h2>Nodes</h2>
      <Shown of={nodes} isEmpty={(page) => !page.items.length} empty={<strong>No node tells of itself.</strong>}>
        {(page) => (
          <div className="cards">
            {page.items.map((node) => (
              <NodeCard key={node.node} node={node} drained={nodes.reload} />
            ))}
          </div>
        )}
      </Shown>
    </section>
  );
}

function NodeCard({ node, drained }: { node: Schemas["NodeDetail"]; drained: () => void }) {
  const drain = async () => {
    await take(api.POST("/v1/nodes/{name}/drain", { params: { path: { name: node.node } } }));
    drained();
    return `Node ${node.node} takes no new sockets, and closes those it has bit by bit.`;
  };
  return (
    <article className="card">
      <header>
        <Copy text={node.node} />
        {node.draining ? <Badge kind="warn">draining</Badge> : <Badge kind="good">serving</Badge>}
      </header>
      <dl>
        <dt>Connections</dt>
        <dd>{count(node.connections)}</dd>
        <dt>Up for</dt>
        <dd title={new Date(node.started_at_ms).toISOString()}>{duration((Date.now() - node.started_at_ms) / 1000)}</dd>
        <dt>Loop lag</dt>
        <dd className={node.loop_lag_ms > 50 ? "bad" : ""}>{milliseconds(node.loop_lag_ms)}</dd>
        <dt>Memory</dt>
        <dd>{bytes(node.memory_bytes)}</dd>
        <dt>Version</dt>
        <dd>{node.version}</dd>
      </dl>
      {!node.draining && (
        <Ask label="Drain" title={`Drain node ${node.node}?`} danger quiet act={drain}>
          <p>
            Its {count(node.connections)} sockets are closed bit by bit and told to come back, to another node. Then the
            node ends; started <Time at={node.started_at_ms} />.
          </p>
        </Ask>
      )}
    </article>
  );
}

function Redis() {
  const redis = useLoad(() => take(api.GET("/v1/redis")), [], 2000);
  return (
    <section>
      <h2>Redis</h2>
      <Shown of={redis}>
        {(now) => (
          <div className="tiles">
            <Tile label="Latency" value={milliseconds(now.latency_ms)} detail="one command, there and back" />
            <Tile
              label="Memory"
              value={bytes(now.memory_bytes)}
              detail={now.max_memory_bytes ? `of ${bytes(now.max_memory_bytes)}` : "no bound set"}
            />
            <Tile label="Role" value={now.role} detail={`${now.replicas} replicas · version ${now.version}`} />
          </div>
        )}
      </Shown>
    </section>
  );
}
