import { type FormEvent, useState } from "react";
import { farewell } from "../api/session";
import { signIn } from "../api/signIn";
import { Field } from "../parts/Field";
import { useStore } from "../store";

export function SignIn() {
  const reason = useStore(farewell);
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget).get("bearer") ?? "");
    setBusy(true);
    setError("");
    try {
      await signIn(text);
    } catch (refusal) {
      setError((refusal as Error).message);
      setBusy(false);
    }
  };
  return (
    <main className="door">
      <form onSubmit={submit} className="card">
        <img src="/console/icon.svg" alt="" width="40" height="40" />
        <h1>Roomcast console</h1>
        {reason && (
          <p className="note warn" role="alert">
            {reason}
          </p>
        )}
        <Field
          label="Operator token or API key"
          name="bearer"
          type="password"
          required
          autoFocus
          placeholder="rco_… or rck_…"
          hint="The operator's token is in the file operator-token of the data directory; roomcast serve prints where."
        />
        {error && (
          <p className="note bad" role="alert">
            {error}
          </p>
        )}
        <button type="submit" className="main" disabled={isBusy}>
          {isBusy ? "Signing in …" : "Sign in"}
        </button>
        <p className="quiet">It stays in this tab alone, until the tab is closed.</p>
      </form>
    </main>
  );
}
