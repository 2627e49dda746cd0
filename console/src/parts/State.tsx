import type { ReactNode } from "react";
import { clock } from "../format";
import type { Loaded } from "../useLoad";

interface ShownProps<Data> {
  of: Loaded<Data>;
  /** What to say where there is nothing; shown when `isEmpty` holds. */
  empty?: ReactNode;
  isEmpty?: (data: Data) => boolean;
  children: (data: Data) => ReactNode;
}

/** A view in its four states: loading, failed, empty, or there; and there, but out of date. */
export function Shown<Data>({ of, empty, isEmpty, children }: ShownProps<Data>) {
  if (of.data === undefined) return of.error ? <Failure of={of} /> : <Loading />;
  return (
    <>
      {of.error && (
        <p className="note warn" role="status">
          {of.error.message} Shown is what there was at {clock(of.loadedAt)}.{" "}
          <button type="button" className="link" onClick={of.reload}>
            Try again
          </button>
        </p>
      )}
      {isEmpty?.(of.data) ? <div className="empty">{empty}</div> : children(of.data)}
    </>
  );
}

export function Loading() {
  return (
    <div className="loading" role="status" aria-live="polite">
      <span className="bar" /> <span className="bar short" /> <span className="hidden">Loading …</span>
    </div>
  );
}

function Failure({ of }: { of: Loaded<unknown> }) {
  const error = of.error;
  const isOffline = error?.code === "offline";
  return (
    <div className="empty failed" role="alert">
      <strong>{isOffline ? "Offline" : error?.code === "forbidden" ? "Not allowed" : "That did not work"}</strong>
      <p>{error?.message}</p>
      <button type="button" onClick={of.reload}>
        Try again
      </button>
    </div>
  );
}
