import { useState } from "react";
import { api, type Schemas, take } from "../api/client";
import { List } from "../parts/List";
import { Shown } from "../parts/State";
import { useLoad } from "../useLoad";
import { Line } from "./Live";

type Page = Schemas["HistoryEvent"];

const PAGE = 100;

/** Kept messages, a page at a time, from the newest back. */
export function History({ room }: { room: string }) {
  const [before, setBefore] = useState<string[]>([]);
  const last = before.at(-1);
  const query = { limit: PAGE, ...(last && { before: last }) };
  const page = useLoad(() => take(api.GET("/v1/rooms/{room}/messages", { params: { path: { room }, query } })), [room, last]);
  return (
    <section aria-label="History">
      <Shown of={page} isEmpty={({ messages }) => !messages.length} empty={<strong>No message is kept</strong>}>
        {(shown) => (
          <List
            label="Kept messages"
            items={entriesOf(shown)}
            keyOf={(entry) => String(entry.id)}
            row={Line}
            rowHeight={36}
            follows={!last}
          />
        )}
      </Shown>
      <div className="actions">
        <button type="button" disabled={!page.data?.more} onClick={() => setBefore([...before, firstOf(page.data)])}>
          Older
        </button>
        <button type="button" disabled={!before.length} onClick={() => setBefore(before.slice(0, -1))}>
          Newer
        </button>
        <button type="button" onClick={page.reload}>
          Load again
        </button>
      </div>
    </section>
  );
}

const epochOf = (page: Page | undefined): string => page?.position?.split(":")[0] ?? "";
const firstOf = (page: Page | undefined): string => `${epochOf(page)}:${page?.messages[0]?.offset ?? 1}`;

function entriesOf(page: Page) {
  return page.messages.map((message) => ({
    id: message.offset ?? 0,
    kind: "message" as const,
    atMs: message.time_ms,
    name: message.name ?? "",
    user: message.from?.user ?? "server",
    position: `${epochOf(page)}:${message.offset}`,
    data: message.data,
  }));
}
