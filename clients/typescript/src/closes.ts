import type { Closing } from "./wire.js";

/** What to do after a close: nothing any more, come back at the moment that the server gave, or back off. */
export type AfterClose = "stop" | "as told" | "back off";

export const ABNORMAL = 1006;
export const NEEDS_TOKEN = 4401;

const GOING = [1001, 1012];
const FOR_GOOD = [1000, 1002, 1003, 1007, 1008, 1009];
const BACK_OFF = [4401, 4408, 4429, 4450];

/** The table "Close codes" of PROTOCOL.md. `closing` came before the close, or null. */
export function afterClose(code: number, closing: Closing | null): AfterClose {
  if (closing) return closing.reconnect ? (GOING.includes(closing.code) ? "as told" : "back off") : "stop";
  if (FOR_GOOD.includes(code)) return "stop";
  // 4403 and 4409 without a word, and codes of a later version, which would tell us to stop if we knew them.
  if (code >= 4400 && code < 4500 && !BACK_OFF.includes(code)) return "stop";
  return "back off";
}
