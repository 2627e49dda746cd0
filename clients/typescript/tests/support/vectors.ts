import { readFileSync } from "node:fs";

/** A file of clients/vectors. */
// biome-ignore lint/suspicious/noExplicitAny: what stands in it is checked by being played
export function vectors(name: string): any {
  return JSON.parse(readFileSync(new URL(`../../../vectors/${name}.json`, import.meta.url), "utf8"));
}
