import { type InputHTMLAttributes, type TextareaHTMLAttributes, useId } from "react";

interface Described {
  label: string;
  hint?: string;
}

export function Field({ label, hint, ...input }: Described & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} autoComplete="off" spellCheck={false} aria-describedby={hint && `${id}-hint`} {...input} />
      {hint && (
        <small id={`${id}-hint`} className="quiet">
          {hint}
        </small>
      )}
    </div>
  );
}

export function Area({ label, hint, ...area }: Described & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea id={id} rows={4} spellCheck={false} {...area} />
      {hint && <small className="quiet">{hint}</small>}
    </div>
  );
}

interface TabsProps<Name extends string> {
  label: string;
  names: readonly Name[];
  chosen: Name;
  choose: (name: Name) => void;
}

/** One of a few: as buttons, of which one is pressed. */
export function Choice<Name extends string>({ label, names, chosen, choose }: TabsProps<Name>) {
  return (
    <div className="choice" role="group" aria-label={label}>
      {names.map((name) => (
        <button key={name} type="button" aria-pressed={name === chosen} onClick={() => choose(name)}>
          {name}
        </button>
      ))}
    </div>
  );
}
