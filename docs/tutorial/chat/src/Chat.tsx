import { useEvent, useMessages, usePresence, useRoom, useStatus } from "@roomcast/client/react";
import { type FormEvent, useEffect, useState } from "react";

export function Chat({ name }: { name: string }) {
  const status = useStatus();
  const room = useRoom(`chat:${name}`, { state: { away: document.hidden } });
  const { messages, gap } = useMessages(room, { history: 50 });
  const { members } = usePresence(room);
  const [text, setText] = useState("");
  const [refusal, setRefusal] = useState("");
  const [typing, setTyping] = useState("");

  useEvent(room, "signal:typing", ({ data, from }) => setTyping(data.on ? from.user : ""));

  useEffect(() => {
    const tell = () => void room.presence.set({ away: document.hidden }).catch(() => {});
    document.addEventListener("visibilitychange", tell);
    return () => document.removeEventListener("visibilitychange", tell);
  }, [room]);

  function say(event: FormEvent) {
    event.preventDefault();
    setText("");
    room.signal("typing", { on: false });
    room.publish("said", { text }).then(
      () => setRefusal(""),
      (error: Error) => setRefusal(error.message),
    );
  }

  return (
    <>
      <header>
        <span id="members">
          {members.map(({ user, state }) => (state?.away ? `${user} (away)` : user)).sort().join(", ")}
        </span>
        <span id="status">{status}</span>
      </header>
      {gap && <p className="gap">Some messages could not be had any more.</p>}
      <ol id="messages">
        {messages.map(({ position, from, data }) => (
          <li key={position}>
            <b>{from?.user ?? "the server"}</b> {data.text}
          </li>
        ))}
      </ol>
      <form onSubmit={say}>
        <input
          value={text}
          placeholder="Say something"
          onChange={(event) => {
            setText(event.target.value);
            room.signal("typing", { on: event.target.value !== "" });
          }}
        />
        <button type="submit" disabled={text === ""}>
          Send
        </button>
      </form>
      <p className="typing">{typing && `${typing} is typing`}</p>
      <p role="alert">{refusal}</p>
    </>
  );
}
