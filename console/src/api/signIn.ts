import { ApiError } from "./client";
import { ALL_SCOPES, farewell, keep, type Scope, type Session, session } from "./session";

// Asked for with a key, each is refused as `forbidden` without its scope; with it, none changes anything.
const PROBES: Record<Exclude<Scope, "manage">, [string, string]> = {
  read: ["GET", "/v1/counts"],
  publish: ["POST", "/v1/messages"],
  disconnect: ["DELETE", "/v1/connections/console-probe-0000"],
};

async function ask(bearer: string, method: string, path: string): Promise<Response> {
  try {
    const headers: HeadersInit = { Authorization: `Bearer ${bearer}` };
    if (method === "POST") headers["Content-Type"] = "application/json";
    return await fetch(path, { method, headers, credentials: "omit", body: method === "POST" ? "{}" : null });
  } catch {
    throw new ApiError("offline", "There is no answer: the node, or the network in between, is down.", 0);
  }
}

/** Find out whose the text is and what it may do. Raises ApiError. */
export async function signIn(text: string): Promise<void> {
  const bearer = text.trim();
  session.set(bearer.startsWith("rck_") ? await asKey(bearer) : await asOperator(bearer));
  keep(bearer);
  farewell.set("");
}

async function refuse(response: Response): Promise<never> {
  const problem = await response.json().catch(() => ({}));
  throw new ApiError("unauthenticated", problem.detail ?? "It is not accepted.", response.status, problem);
}

async function asOperator(bearer: string): Promise<Session> {
  const answer = await ask(bearer, "GET", "/v1/nodes");
  if (answer.status === 401 || answer.status === 403 || answer.status === 429) return refuse(answer);
  return { kind: "operator", bearer, tenant: null, scopes: new Set(ALL_SCOPES) };
}

async function asKey(bearer: string): Promise<Session> {
  const keys = await ask(bearer, "GET", "/v1/keys?limit=1");
  if (keys.status === 401) return refuse(keys);
  const scopes = new Set<Scope>(keys.status === 403 ? [] : ["manage"]);
  await Promise.all(
    Object.entries(PROBES).map(async ([scope, [method, path]]) => {
      const answer = await ask(bearer, method, path);
      if (answer.status !== 403) scopes.add(scope as Scope);
    }),
  );
  if (!scopes.size) return refuse(keys); // the tenant is suspended: everything is forbidden
  const tenant = bearer.split("_")[1] ?? "";
  return { kind: "key", bearer, tenant, scopes };
}
