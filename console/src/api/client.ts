import createClient, { type Middleware } from "openapi-fetch";
import { currentPlace } from "../place";
import type { components, paths } from "./schema";
import { session, signOut } from "./session";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

/** A refusal, or no answer at all (`offline`). */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
    readonly problem?: Problem,
  ) {
    super(message);
  }
}

/** The tenant that is looked at: the API key's own, or the one in the address. */
export function chosenTenant(): string | null {
  const { path, query } = currentPlace();
  const named = path[0] === "tenants" ? path[1] : undefined;
  return session.value?.tenant ?? named ?? query.get("tenant");
}

// What is there for a tenant stands twice: the operator finds it below /v1/tenants/{tenant}.
const OF_NO_TENANT = /^\/v1\/(tenants|nodes|redis)(\/|$)/;

const manners: Middleware = {
  async onRequest({ request }) {
    const now = session.value;
    const url = new URL(request.url);
    if (now?.kind === "operator" && !OF_NO_TENANT.test(url.pathname)) {
      url.pathname = url.pathname.replace(/^\/v1/, `/v1/tenants/${chosenTenant() ?? ""}`);
    }
    const { method, headers, signal } = request;
    if (now) headers.set("Authorization", `Bearer ${now.bearer}`);
    // As text: a body that is a stream would need HTTP/2.
    const body = method === "GET" || method === "HEAD" ? null : (await request.text()) || null;
    return new Request(url, { method, headers, signal, body, credentials: "omit", cache: "no-store" });
  },
  onResponse({ response }) {
    if (response.status === 401 && session.value) {
      signOut("Your key or token is not accepted any more: it was revoked, has expired, or was replaced.");
    }
  },
};

export const api = createClient<paths>({ baseUrl: location.origin });
api.use(manners);

interface Outcome<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** The answer, or an ApiError. */
export async function take<Data>(asked: Promise<Outcome<Data>>): Promise<Data> {
  let outcome: Outcome<Data>;
  try {
    outcome = await asked;
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new ApiError("offline", "There is no answer: the node, or the network in between, is down.", 0);
  }
  if (outcome.response.ok) return outcome.data as Data;
  const problem = outcome.error as Problem | undefined;
  const code = problem?.type?.split(":").pop() ?? String(outcome.response.status);
  throw new ApiError(code, problem?.detail ?? outcome.response.statusText, outcome.response.status, problem);
}
