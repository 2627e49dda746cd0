import { type FormEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import type { ApiError } from "../api/client";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

/** A modal dialog: the browser keeps the focus inside, Escape closes. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={heading} onCancel={onClose} onClose={onClose}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}

interface AskProps {
  /** On the button that opens, and on the one that does it. */
  label: string;
  title: string;
  danger?: boolean;
  quiet?: boolean;
  /** Fields and words; inputs are read by their names. */
  children: ReactNode;
  /** Do it: what it did, to be shown. */
  act: (form: FormData) => Promise<ReactNode>;
}

/** Every change asks once, and shows what it did. */
export function Ask({ label, title, danger, quiet, children, act }: AskProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" className={quiet ? "small" : ""} onClick={() => setOpen(true)}>
        {label}
      </button>
      {isOpen && (
        <Dialog title={title} onClose={() => setOpen(false)}>
          <Question label={label} danger={danger} act={act} close={() => setOpen(false)}>
            {children}
          </Question>
        </Dialog>
      )}
    </>
  );
}

interface QuestionProps {
  label: string;
  danger: boolean | undefined;
  act: AskProps["act"];
  close: () => void;
  children: ReactNode;
}

function Question({ label, danger, act, close, children }: QuestionProps) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const [done, setDone] = useState<ReactNode>();
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    try {
      setDone((await act(new FormData(event.currentTarget))) ?? "Done.");
    } catch (refusal) {
      const problem = (refusal as ApiError).problem;
      setError(`${(refusal as Error).message}${problem?.path ? ` (${problem.path})` : ""}`);
    }
    setBusy(false);
  };
  if (done !== undefined) {
    return (
      <>
        <div role="status" className="note good">
          {done}
        </div>
        <div className="actions">
          <button type="button" className="main" onClick={close} autoFocus>
            Close
          </button>
        </div>
      </>
    );
  }
  return (
    <form onSubmit={submit}>
      {children}
      {error && (
        <p className="note bad" role="alert">
          {error}
        </p>
      )}
      <div className="actions">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button type="submit" className={danger ? "danger" : "main"} disabled={isBusy}>
          {isBusy ? "Working …" : label}
        </button>
      </div>
    </form>
  );
}
