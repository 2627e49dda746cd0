import { useMemo, useState } from "react";
import { clock, count } from "../format";
import { Field } from "../parts/Field";
import { List } from "../parts/List";
import { Badge, Json } from "../parts/Text";
import { CONSOLE_USER, type Entry, useStream } from "../useStream";

/** The room's stream: readable at any rate, as it can be paused and filtered. */
export function Live({ room }: { room: string }) {
  const stream = useStream(room);
  const [filter, setFilter] = useState("");
  const entries = useMemo(() => {
    const wanted = filter.toLowerCase();
    const fits = ({ name, user }: Entry) => `${name}\n${user}`.toLowerCase().includes(wanted);
    return wanted ? stream.entries.filter((entry) => entry.kind === "gap" || fits(entry)) : stream.entries;
  }, [stream.entries, filter]);
  const isConnected = stream.status === "connected";
  return (
    <section aria-label="Live">
      <div className="bar-of">
        <Badge kind={isConnected ? "good" : "warn"}>{isConnected ? "live" : stream.status}</Badge>
        <Field
          label="Filter by name or user"
          type="search"
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
        <span className="actions">
          <button type="button" aria-pressed={stream.isPaused} onClick={() => stream.pause(!stream.isPaused)}>
            {stream.isPaused ? `Go on (${count(stream.unseen)} new)` : "Pause"}
          </button>
          <button type="button" onClick={stream.clear}>
            Clear
          </button>
        </span>
      </div>
      {entries.length ? (
        <List
          label="Messages as they come"
          items={entries}
          keyOf={(entry) => String(entry.id)}
          row={Line}
          rowHeight={36}
          follows={!stream.isPaused}
        />
      ) : (
        <div className="empty">
          <strong>{filter ? "Nothing that fits so far" : "Waiting for messages"}</strong>
          <p>You are in the room as the user {CONSOLE_USER} while this is open, and count as one connection.</p>
        </div>
      )}
    </section>
  );
}

export function Line(entry: Entry) {
  if (entry.kind === "gap" || entry.kind === "note") {
    return (
      <div className={`entry ${entry.kind}`}>
        <time>{clock(entry.atMs)}</time>
        <span>{entry.kind === "gap" ? `Gap (${entry.name}): messages before ${entry.position || "here"} are lost` : entry.name}</span>
      </div>
    );
  }
  return (
    <div className="entry">
      <time>{clock(entry.atMs)}</time>
      <span className="quiet offset">{entry.kind === "signal" ? "signal" : entry.position.split(":").pop()}</span>
      <b className="name">{entry.user}</b>
      {entry.name && <span className="name tag">{entry.name}</span>}
      <Json value={entry.data} />
    </div>
  );
}
