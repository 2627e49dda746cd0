import { useRef } from "react";
import { api, type Schemas, take } from "./api/client";
import { type Loaded, useLoad } from "./useLoad";

export type Point = Schemas["StatsPoint"];
const KEPT_SECONDS = 900;
const EVERY_MS = 2000;

/** The last 15 minutes, kept up: all of it once, then what is new. `ofAll`: of all tenants, for the operator. */
export function useStats(ofAll: boolean): Loaded<Point[]> {
  const points = useRef<Point[]>([]);
  const load = async () => {
    const last = points.current.at(-1)?.at_ms ?? 0;
    const missing = Math.ceil((Date.now() - last) / 1000) + 2;
    const query = { seconds: Math.min(KEPT_SECONDS, Math.max(5, missing)) };
    const asked = ofAll ? api.GET("/v1/nodes/stats", { params: { query } }) : api.GET("/v1/stats", { params: { query } });
    const { items } = await take(asked);
    const first = items[0]?.at_ms ?? 0;
    points.current = [...points.current.filter((point) => point.at_ms < first), ...items].slice(-KEPT_SECONDS);
    return points.current;
  };
  return useLoad(load, [ofAll], EVERY_MS);
}
