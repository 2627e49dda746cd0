import { type DependencyList, useCallback, useEffect, useRef, useState } from "react";
import type { ApiError } from "./api/client";

/** What was loaded last, and what became of the last try. Data stays while a later try fails. */
export interface Loaded<Data> {
  data: Data | undefined;
  error: ApiError | undefined;
  loadedAt: number;
  reload: () => void;
}

/** Load now, when `deps` change, and every so many ms while the page is looked at. */
export function useLoad<Data>(load: () => Promise<Data>, deps: DependencyList, everyMs = 0): Loaded<Data> {
  const [state, setState] = useState<Omit<Loaded<Data>, "reload">>({ data: undefined, error: undefined, loadedAt: 0 });
  const run = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the caller says what the load depends on
  const reload = useCallback(() => {
    const mine = ++run.current;
    return load().then(
      (data) => mine === run.current && setState({ data, error: undefined, loadedAt: Date.now() }),
      (error) => mine === run.current && setState((last) => ({ ...last, error: error as ApiError })),
    );
  }, deps);
  useEffect(() => {
    setState({ data: undefined, error: undefined, loadedAt: 0 });
    let timer = 0;
    let ended = false;
    const again = async () => {
      if (!document.hidden) await reload();
      if (!ended && everyMs) timer = window.setTimeout(again, everyMs);
    };
    void again();
    return () => {
      ended = true;
      run.current++;
      clearTimeout(timer);
    };
  }, [reload, everyMs]);
  return { ...state, reload };
}

/** Wait until the value rests, so that typing does not ask for each letter. */
export function useRested<Value>(value: Value, ms = 250): Value {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return rested;
}
