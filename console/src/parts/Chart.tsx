import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Line {
  label: string;
  values: (number | null)[];
  /** Which of the palette's colours, 1-4. */
  colour: number;
}

interface ChartProps {
  title: string;
  /** Unix time in seconds. */
  times: number[];
  lines: Line[];
  format: (value: number) => string;
  /** Drawn across, as a limit is. */
  ceiling?: number | null;
}

const HEIGHT = 150;
const SHORTEST_SECONDS = 60;
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function optionsOf(lines: Line[], width: number, format: ChartProps["format"]): uPlot.Options {
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--quiet"), grid, ticks: grid, font: "12px system-ui" };
  return {
    width,
    height: HEIGHT,
    cursor: { y: false },
    legend: { show: false },
    padding: [6, 8, 0, 0],
    scales: {
      x: { range: (_chart, low, high) => [Math.min(low, high - SHORTEST_SECONDS), high] },
      y: { range: (_chart, _low, high) => [0, high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      { ...axis, size: 30, values: [[86400, "{MMM} {D}", ...REST], [3600, "{HH}:{mm}", ...REST], [1, "{HH}:{mm}:{ss}", ...REST]] },
      { ...axis, size: 76, values: (_chart, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...lines.map((line, index) => ({
        label: line.label,
        stroke: colour(`--chart-${line.colour}`),
        width: 1.6,
        dash: index ? [6, 3] : [], // not by colour alone
        points: { show: line.values.length < 3 },
      })),
    ],
  };
}
// uPlot's table of time formats: the rest of each row says that nothing is added at a new day or year.
const REST = [null, null, null, null, null, null, 1] as const;

/** Lines over time; the last values stand above as text, for those who can't see a canvas. */
export function Chart({ title, times, lines, format, ceiling }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(null);
  const data = useMemo(() => {
    const drawn = ceiling ? [times.map(() => ceiling)] : [];
    const columns = [times, ...lines.map((line) => line.values), ...drawn];
    // Of a single instant uPlot makes no sense: it is drawn as if it had lasted.
    const lasting = columns.map((values, index) => [index ? values[0] : (times[0] ?? 0) - 1, ...values]);
    return (times.length === 1 ? lasting : columns) as uPlot.AlignedData;
  }, [times, lines, ceiling]);
  const shape = `${lines.map((line) => line.label)}|${Boolean(ceiling)}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: made anew only for other lines; data follows below
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const draw = () => {
      chart.current?.destroy();
      const shown = ceiling ? [...lines, { label: "limit", values: [], colour: 4 }] : lines;
      chart.current = new uPlot(optionsOf(shown, element.clientWidth, format), data, element);
    };
    draw();
    const watcher = new ResizeObserver(() => chart.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    watcher.observe(element);
    dark.addEventListener("change", draw);
    return () => {
      watcher.disconnect();
      dark.removeEventListener("change", draw);
      chart.current?.destroy();
      chart.current = null;
    };
  }, [shape]);
  useEffect(() => chart.current?.setData(data), [data]);
  return (
    <figure className="chart">
      <figcaption>
        <strong>{title}</strong>
        {lines.map((line) => {
          const last = line.values.at(-1);
          return (
            <span key={line.label} className={`key c${line.colour}`}>
              {line.label} <b>{last === null || last === undefined ? "–" : format(last)}</b>
            </span>
          );
        })}
        {ceiling ? <span className="key c4">limit {format(ceiling)}</span> : null}
      </figcaption>
      <div ref={box} aria-hidden="true" className="canvas" />
    </figure>
  );
}
