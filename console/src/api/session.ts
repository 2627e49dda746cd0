import { Store } from "../store";

export type Scope = "read" | "publish" | "disconnect" | "manage";

/** Who is signed in. An API key has its own tenant and scopes; the operator may do all, for the tenant in the address. */
export interface Session {
  kind: "operator" | "key";
  bearer: string;
  tenant: string | null;
  scopes: ReadonlySet<Scope>;
}

const KEPT = "roomcast-console";
export const ALL_SCOPES: readonly Scope[] = ["read", "publish", "disconnect", "manage"];

export const session = new Store<Session | null>(null);
/** Why one has to sign in again. */
export const farewell = new Store("");

/** For as long as the tab is open. */
export function keep(bearer: string): void {
  sessionStorage.setItem(KEPT, bearer);
}

export function kept(): string | null {
  return sessionStorage.getItem(KEPT);
}

export function signOut(reason = ""): void {
  sessionStorage.removeItem(KEPT);
  farewell.set(reason);
  session.set(null);
}
