import { type FormEvent, useEffect, useRef, useState } from "react";
import { bytes, clock, count, parseJson } from "../format";
import { Area, Field } from "../parts/Field";
import { List } from "../parts/List";
import { Badge } from "../parts/Text";
import { curl, pythonCode, typescript } from "../snippets";
import { socketUrl } from "../useStream";
import { type Frame, type Rights, Wire, type WireState } from "../wire";

const TEMPLATES: Record<string, object> = {
  join: { type: "join", id: 1, room: "chat", watch: true },
  publish: { type: "publish", id: 2, room: "chat", name: "said", data: { text: "hello" } },
  signal: { type: "signal", id: 3, room: "chat", name: "typing", data: true },
  set_state: { type: "set_state", id: 4, room: "chat", state: { mood: "fine" } },
  history: { type: "history", id: 5, room: "chat", limit: 20 },
  members: { type: "members", id: 6, room: "chat" },
  send: { type: "send", id: 7, user: "bob", data: { text: "for you" } },
  leave: { type: "leave", id: 8, room: "chat" },
  ping: { type: "ping", id: 9 },
};

export function WirePane({ side, user: first }: { side: string; user: string }) {
  const [state, setState] = useState<WireState>({ frames: [], status: "closed", positions: new Map() });
  const wire = useRef<Wire>(null);
  const [user, setUser] = useState(first);
  const [rights, setRights] = useState('{"*": ["*"]}');
  useEffect(() => {
    const made = new Wire(setState);
    wire.current = made;
    return () => made.cut();
  }, []);
  const parsed = parseJson(rights);
  const connect = (since: boolean) => {
    if ("value" in parsed) void wire.current?.connect(user, parsed.value as Rights, since);
  };
  const isOpen = state.status === "open";
  return (
    <section className="pane" aria-label={`${side} client`}>
      <div className="bar-of">
        <Badge kind={isOpen ? "good" : "plain"}>{state.status}</Badge>
        <Field label="User" value={user} maxLength={128} onChange={(event) => setUser(event.target.value)} />
        <Field
          label="Rights"
          value={rights}
          aria-invalid={"problem" in parsed}
          onChange={(event) => setRights(event.target.value)}
        />
      </div>
      <div className="actions">
        {isOpen ? (
          <button type="button" onClick={() => wire.current?.cut()}>
            Cut off
          </button>
        ) : (
          <>
            <button type="button" className="main" disabled={"problem" in parsed || !user} onClick={() => connect(false)}>
              {state.frames.length ? "Connect anew" : "Connect"}
            </button>
            {state.positions.size > 0 && (
              <button type="button" onClick={() => connect(true)}>
                Reconnect with since
              </button>
            )}
          </>
        )}
        <button type="button" onClick={() => wire.current?.clear()}>
          Clear
        </button>
      </div>
      <Frames side={side} frames={state.frames} />
      <Command disabled={!isOpen} send={(text) => wire.current?.send(text)} />
    </section>
  );
}

function Frames({ side, frames }: { side: string; frames: readonly Frame[] }) {
  if (!frames.length) {
    return (
      <div className="empty frames">
        <strong>Nothing on the wire</strong>
        <p>Connect, join a room, publish; do it on both sides, and cut one off.</p>
      </div>
    );
  }
  return (
    <List
      label={`Frames, ${side.toLowerCase()}`}
      items={frames}
      keyOf={({ id }) => String(id)}
      row={Row}
      rowHeight={32}
      follows
    />
  );
}

function Row(frame: Frame) {
  const shown = frame.text.length > 2000 ? `${frame.text.slice(0, 2000)} …` : frame.text;
  return (
    <div className={`entry ${frame.direction}`}>
      <span aria-hidden="true">{{ in: "↓", out: "↑", note: "•" }[frame.direction]}</span>
      <span className="hidden">{frame.direction}</span>
      <time>{clock(frame.atMs)}</time>
      <span className="quiet offset" title={`${count(frame.bytes)} bytes`}>
        {frame.direction === "note" ? "" : bytes(frame.bytes)}
      </span>
      <code className="json">{shown}</code>
    </div>
  );
}

function Command({ disabled, send }: { disabled: boolean; send: (text: string) => void }) {
  const [text, setText] = useState(JSON.stringify(TEMPLATES.join));
  const parsed = parseJson(text);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send(text);
  };
  return (
    <form className="command" onSubmit={submit}>
      <div className="choice" role="group" aria-label="Begin with">
        {Object.entries(TEMPLATES).map(([name, command]) => (
          <button key={name} type="button" onClick={() => setText(JSON.stringify(command))}>
            {name}
          </button>
        ))}
      </div>
      <Area
        label="Command"
        value={text}
        rows={3}
        onChange={(event) => setText(event.target.value)}
        {...("problem" in parsed && { hint: `Not JSON, and sent all the same: ${parsed.problem}` })}
      />
      <div className="actions">
        <button type="submit" className="main" disabled={disabled}>
          Send
        </button>
        <CopyAs text={text} />
      </div>
    </form>
  );
}

function CopyAs({ text }: { text: string }) {
  const [copied, setCopied] = useState("");
  const parsed = parseJson(text);
  const isObject = "value" in parsed && typeof parsed.value === "object" && parsed.value !== null;
  const command = (isObject ? parsed.value : {}) as Record<string, unknown>;
  const ways = {
    TypeScript: () => typescript(command, socketUrl()),
    Python: () => pythonCode(command, socketUrl()),
    curl: () => curl(command, location.origin),
  };
  return (
    <>
      {Object.entries(ways).map(([name, write]) => (
        <button
          key={name}
          type="button"
          className="small"
          disabled={!isObject}
          onClick={() => navigator.clipboard.writeText(write()).then(() => setCopied(name))}
        >
          {copied === name ? `${name} copied` : `Copy ${name}`}
        </button>
      ))}
    </>
  );
}
