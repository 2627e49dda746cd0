import { useSyncExternalStore } from "react";

/** Where one is: all of a view stands in the address bar, behind `#`, so that it is never sent to a server. */
export interface Place {
  path: string[];
  query: URLSearchParams;
}

let hash = "";
let place: Place = { path: [], query: new URLSearchParams() };

export function currentPlace(): Place {
  if (location.hash !== hash) {
    hash = location.hash;
    const [path = "", query] = hash.replace(/^#\/?/, "").split("?", 2);
    place = { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
  }
  return place;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function usePlace(): Place {
  return useSyncExternalStore((listener) => {
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, currentPlace);
}

/** The address of a view; the chosen tenant stays. Empty values are left out. */
export function linkTo(path: string[], query: Record<string, string | undefined> = {}): string {
  const tenant = currentPlace().query.get("tenant") ?? undefined;
  const asked = Object.entries({ tenant, ...query }).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const text = new URLSearchParams(asked).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

export function goTo(path: string[], query: Record<string, string | undefined> = {}): void {
  location.hash = linkTo(path, query);
}

/** Change a part of the query, without a step in the browser's history. */
export function adjust(query: Record<string, string | undefined>): void {
  const { path, query: now } = currentPlace();
  history.replaceState(null, "", linkTo(path, { ...Object.fromEntries(now), ...query }));
  dispatchEvent(new HashChangeEvent("hashchange"));
}
