/** JSON Schemas as people see them. They are a tenant's, so nothing in them is trusted to have a certain shape. */

export type JsonSchema = Record<string, unknown>;

const MOST_DEEP = 6;
const asSchema = (value: unknown): JsonSchema =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as JsonSchema) : {};

/** A value to begin with: examples and defaults where there are some, else the emptiest of its type. */
export function sampleOf(schema: unknown, depth = 0): unknown {
  const known = asSchema(schema);
  if (Array.isArray(known.examples) && known.examples.length) return known.examples[0];
  for (const name of ["const", "default"]) if (name in known) return known[name];
  if (Array.isArray(known.enum) && known.enum.length) return known.enum[0];
  const type = Array.isArray(known.type) ? known.type[0] : known.type;
  if (type === "object" || known.properties) {
    if (depth > MOST_DEEP) return {};
    return Object.fromEntries(
      Object.entries(asSchema(known.properties)).map(([name, property]) => [name, sampleOf(property, depth + 1)]),
    );
  }
  if (type === "array") return [];
  if (type === "string") return "";
  if (type === "number" || type === "integer") return typeof known.minimum === "number" ? known.minimum : 0;
  if (type === "boolean") return false;
  return null;
}

export interface Branch {
  name: string;
  /** What may stand here, in a few words. */
  about: string;
  isRequired: boolean;
  description: string;
  children: Branch[];
}

const BOUNDS = ["minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "pattern", "format", "$ref"];

/** A schema as a tree to read. */
export function treeOf(name: string, schema: unknown, isRequired = false, depth = 0): Branch {
  const known = asSchema(schema);
  const choices = Array.isArray(known.enum) ? known.enum.map((value) => JSON.stringify(value)).join(" | ") : "";
  const bounds = BOUNDS.filter((bound) => bound in known).map((bound) => `${bound} ${String(known[bound])}`);
  const type = "const" in known ? JSON.stringify(known.const) : String(known.type ?? (known.properties ? "object" : "any"));
  const required = Array.isArray(known.required) ? known.required : [];
  const children =
    depth > MOST_DEEP
      ? []
      : [
          ...Object.entries(asSchema(known.properties)).map(([each, property]) =>
            treeOf(each, property, required.includes(each), depth + 1),
          ),
          ...(known.items ? [treeOf("each item", known.items, false, depth + 1)] : []),
        ];
  const text = [known.title, known.description].filter((part) => typeof part === "string").join(": ");
  return { name, about: [choices || type, ...bounds].join(", "), isRequired, description: text, children };
}
