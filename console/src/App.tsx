import { type ComponentType, useEffect, useState } from "react";
import { chosenTenant } from "./api/client";
import { type Scope, type Session, session, signOut } from "./api/session";
import { linkTo, usePlace } from "./place";
import { Boundary } from "./parts/Boundary";
import { useStore } from "./store";
import { Contract } from "./views/Contract";
import { Inspector } from "./views/Inspector";
import { Overview } from "./views/Overview";
import { Room } from "./views/Room";
import { Rooms } from "./views/Rooms";
import { SignIn } from "./views/SignIn";
import { Tenant } from "./views/Tenant";
import { Tenants } from "./views/Tenants";
import { Usage } from "./views/Usage";
import { User } from "./views/User";
import { Users } from "./views/Users";

interface View {
  name: string;
  title: string;
  shows: ComponentType;
  one?: ComponentType;
  /** Which scope a key needs for it; the operator has all. */
  scope: Scope;
  /** About one tenant, so the operator must choose one. */
  ofTenant: boolean;
}

const VIEWS: View[] = [
  { name: "overview", title: "Overview", shows: Overview, scope: "read", ofTenant: false },
  { name: "tenants", title: "Tenants", shows: Tenants, one: Tenant, scope: "manage", ofTenant: false },
  { name: "rooms", title: "Rooms", shows: Rooms, one: Room, scope: "read", ofTenant: true },
  { name: "users", title: "Users", shows: Users, one: User, scope: "read", ofTenant: true },
  { name: "usage", title: "Usage", shows: Usage, scope: "read", ofTenant: true },
  { name: "contract", title: "Contract", shows: Contract, scope: "read", ofTenant: true },
  { name: "inspector", title: "Wire inspector", shows: Inspector, scope: "manage", ofTenant: true },
];

/** What may not be done is not shown. A key's own tenant stands where the operator has the list of them. */
function viewsFor(now: Session): View[] {
  const own = { name: "tenant", title: "Keys and audit", shows: Tenant, scope: "manage", ofTenant: false } as const;
  const views = now.kind === "operator" ? VIEWS : VIEWS.map((view) => (view.name === "tenants" ? own : view));
  return views.filter((view) => now.scopes.has(view.scope));
}

export function App() {
  const now = useStore(session);
  const place = usePlace();
  if (!now) return <SignIn />;
  const views = viewsFor(now);
  const view = views.find(({ name }) => name === place.path[0]) ?? views[0];
  const tenant = chosenTenant();
  const Page = place.path[1] !== undefined && view?.one ? view.one : view?.shows;
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <Side views={views} chosen={view?.name} now={now} tenant={tenant} />
      <main id="main" tabIndex={-1}>
        {!Page || !view ? (
          <p className="empty">This key opens nothing that could be shown.</p>
        ) : view.ofTenant && !tenant ? (
          <ChooseTenant title={view.title} />
        ) : (
          <Boundary key={`${view.name}/${place.path[1] ?? ""}/${tenant}`}>
            <Page />
          </Boundary>
        )}
      </main>
    </div>
  );
}

function skip(event: { preventDefault(): void }): void {
  event.preventDefault(); // the address bar holds the view
  document.getElementById("main")?.focus();
}

function ChooseTenant({ title }: { title: string }) {
  return (
    <>
      <h1>{title}</h1>
      <div className="empty">
        <strong>No tenant is chosen</strong>
        <p>This view is about one tenant.</p>
        <a className="button" href={linkTo(["tenants"])}>
          Choose a tenant
        </a>
      </div>
    </>
  );
}

interface SideProps {
  views: View[];
  chosen: string | undefined;
  now: Session;
  tenant: string | null;
}

function Side({ views, chosen, now, tenant }: SideProps) {
  const [isOpen, setOpen] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a chosen view closes the menu
  useEffect(() => setOpen(false), [chosen]);
  return (
    <header className="side">
      <div className="brand">
        <img src="/console/icon.svg" alt="" width="26" height="26" />
        <span>Roomcast</span>
        <button type="button" className="menu" aria-expanded={isOpen} aria-controls="nav" onClick={() => setOpen(!isOpen)}>
          Menu
        </button>
      </div>
      <nav id="nav" className={isOpen ? "open" : ""} aria-label="Views">
        {views.map(({ name, title }) => (
          <a key={name} href={linkTo([name])} aria-current={name === chosen ? "page" : undefined}>
            {title}
          </a>
        ))}
        <div className="who">
          <span className="quiet">{now.kind === "operator" ? "Operator" : "API key"}</span>
          {tenant && (
            <span>
              tenant <b>{tenant}</b>
            </span>
          )}
          <button type="button" className="small" onClick={() => signOut()}>
            Sign out
          </button>
        </div>
      </nav>
    </header>
  );
}
