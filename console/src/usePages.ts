import { type DependencyList, useCallback, useEffect, useRef, useState } from "react";
import type { ApiError } from "./api/client";

interface Page<Item> {
  items: Item[];
  next_cursor?: string | null;
}

export interface Pages<Item> {
  items: Item[];
  /** Loads the next page; undefined at the end, or while one loads. */
  more: (() => void) | undefined;
  data: Item[] | undefined;
  error: ApiError | undefined;
  loadedAt: number;
  reload: () => void;
}

interface State<Item> {
  items: Item[];
  cursor: string | null;
  isLoading: boolean;
  error: ApiError | undefined;
  loadedAt: number;
}

const NOTHING = { items: [], cursor: null, isLoading: true, error: undefined, loadedAt: 0 };

/** A list of the API, page by page as one scrolls. Anew when `deps` change. */
export function usePages<Item>(load: (cursor?: string) => Promise<Page<Item>>, deps: DependencyList): Pages<Item> {
  const [state, setState] = useState<State<Item>>(NOTHING);
  const run = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the caller says what the load depends on
  const fetchPage = useCallback(async (before: State<Item> | null) => {
    const mine = before ? run.current : ++run.current;
    setState((last) => ({ ...last, isLoading: true }));
    try {
      const page = await load(before?.cursor ?? undefined);
      if (mine !== run.current) return;
      const items = before ? [...before.items, ...page.items] : page.items;
      setState({ items, cursor: page.next_cursor ?? null, isLoading: false, error: undefined, loadedAt: Date.now() });
    } catch (error) {
      if (mine === run.current) setState((last) => ({ ...last, isLoading: false, error: error as ApiError }));
    }
  }, deps);
  useEffect(() => {
    setState(NOTHING);
    void fetchPage(null);
  }, [fetchPage]);
  const more = useCallback(() => void fetchPage(state), [fetchPage, state]);
  return {
    ...state,
    data: state.loadedAt ? state.items : undefined,
    more: state.cursor && !state.isLoading && !state.error ? more : undefined,
    reload: () => void fetchPage(null),
  };
}
