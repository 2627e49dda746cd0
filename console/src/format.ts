const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);
export const compact = (value: number): string => (Math.abs(value) < 10_000 ? whole.format(value) : short.format(value));
export const many = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Bytes, in powers of 1,024 as their names say. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let left = value;
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024;
    unit++;
  }
  return `${unit === 0 || left >= 100 ? Math.round(left) : left.toFixed(1)} ${units[unit]}`;
}

export const milliseconds = (value: number | null): string =>
  value === null ? "–" : value < 10 ? `${Number(value.toFixed(2))} ms` : `${whole.format(Math.round(value))} ms`;

const STEPS: [number, string][] = [
  [60, "s"],
  [60, "min"],
  [24, "h"],
  [365, "d"],
  [Number.POSITIVE_INFINITY, "y"],
];

export function duration(seconds: number): string {
  let left = Math.max(0, seconds);
  for (const [size, unit] of STEPS) {
    if (left < size) return `${Math.floor(left)} ${unit}`;
    left /= size;
  }
  return "";
}

export function ago(atMs: number, nowMs = Date.now()): string {
  const seconds = (nowMs - atMs) / 1000;
  if (Math.abs(seconds) < 2) return "just now";
  return seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

export const exactly = (atMs: number): string => new Date(atMs).toISOString().replace("T", " ").replace("Z", " UTC");
export const clock = (atMs: number): string => new Date(atMs).toLocaleTimeString("en-GB");

/** A limit's name for people, and its unit where it counts bytes. */
export const spoken = (name: string): string => name.replaceAll("_", " ");
export const limit = (name: string, value: number | null | undefined): string =>
  value === null || value === undefined ? "no limit" : name.endsWith("_bytes") ? bytes(value) : count(value);

export function parseJson(text: string): { value: unknown } | { problem: string } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
