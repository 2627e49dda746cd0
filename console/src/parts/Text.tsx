import { useEffect, useState } from "react";
import { ago, exactly } from "../format";
import { Store, useStore } from "../store";

const now = new Store(Date.now());
setInterval(() => now.set(Date.now()), 1000);

/** An instant as people say it; exactly on hover. */
export function Time({ at }: { at: number | null | undefined }) {
  const nowMs = useStore(now);
  if (at === null || at === undefined) return <span className="quiet">never</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={exactly(at)}>
      {ago(at, nowMs)}
    </time>
  );
}

/** An id that a click copies. */
export function Copy({ text, shown }: { text: string; shown?: string }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), 1200);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = () => navigator.clipboard?.writeText(text).then(() => setCopied(true));
  return (
    <button type="button" className="copy" onClick={copy} title={`Copy ${text}`}>
      <bdi>{shown ?? text}</bdi>
      <span aria-live="polite" className={isCopied ? "copied" : "hidden"}>
        {isCopied ? "copied" : ""}
      </span>
    </button>
  );
}

/** A secret that is shown this once. */
export function Secret({ label, text }: { label: string; text: string }) {
  return (
    <div className="secret">
      <span>{label}, shown this once</span>
      <Copy text={text} />
    </div>
  );
}

export function Badge({ kind, children }: { kind: "good" | "warn" | "bad" | "plain"; children: string }) {
  return <span className={`badge ${kind}`}>{children}</span>;
}

/** Hostile or not, a value of a tenant is text, and stays within its box. */
export function Json({ value }: { value: unknown }) {
  return <code className="json">{JSON.stringify(value) ?? "–"}</code>;
}

export function Tile({ label, value, detail }: { label: string; value: string; detail?: string }) {
  return (
    <div className="tile">
      <span className="label">{label}</span>
      <strong>{value}</strong>
      {detail && <span className="quiet">{detail}</span>}
    </div>
  );
}
