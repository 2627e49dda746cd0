import { WirePane } from "./WirePane";

/** Two real clients side by side: what one sends, the other sees. */
export function Inspector() {
  return (
    <>
      <h1>Wire inspector</h1>
      <div className="panes">
        <WirePane side="Left" user="alice" />
        <WirePane side="Right" user="bob" />
      </div>
    </>
  );
}
