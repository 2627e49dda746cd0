/**
 * A tenant's contract as types, as `roomcast generate typescript` writes it, and what a room's name makes of it: the
 * exact name wins, then the longest prefix that ends in `*`, as on the server.
 */

/** What one pattern of a contract says. */
export interface RoomShape {
  messages: object;
  signals: object;
  state: unknown;
  /** Whether names that are not listed, and messages without a name, are allowed; their data is `unknown`. */
  additional: boolean;
}

export type ContractShape<C> = { [Pattern in keyof C]: RoomShape };

/** A room that no pattern of the contract matches. */
export interface UntypedRoom {
  messages: {};
  signals: {};
  state: unknown;
  additional: true;
}

/**
 * Where an application names its contract once, for all hooks and `createClient` without type arguments:
 * `declare module "@roomcast/client" { interface Register { contract: Contract } }`
 */
export interface Register {}
export type RegisteredContract = Register extends { contract: infer C } ? C : {};

type Prefix<Pattern> = Pattern extends `${infer Start}*` ? Start : never;

type Matching<C, Name extends string> = {
  [Pattern in keyof C & string]: Name extends `${Prefix<Pattern>}${string}` ? Pattern : never;
}[keyof C & string];

/** Those of `Others` that are longer than `Pattern`; all are prefixes of one name. */
type Longer<Pattern, Others> = Others extends string
  ? Prefix<Pattern> extends `${Prefix<Others>}${string}`
    ? never
    : Others
  : never;

type Longest<Patterns, All = Patterns> = Patterns extends string
  ? [Longer<Patterns, All>] extends [never]
    ? Patterns
    : never
  : never;

type PatternOf<C, Name extends string> = Name extends keyof C ? Name : Longest<Matching<C, Name>>;

/** The shape of the room `Name` under the contract `C`. */
export type RoomOf<C, Name extends string> = [PatternOf<C, Name>] extends [never]
  ? UntypedRoom
  : PatternOf<C, Name> extends infer Pattern extends keyof C
    ? C[Pattern] extends RoomShape
      ? C[Pattern]
      : UntypedRoom
    : UntypedRoom;

/** Names that may be sent: those listed, and if others are allowed, any other, or null for none. */
export type NameOf<Listed, Additional> =
  | (keyof Listed & string)
  | (Additional extends true ? (string & {}) | null : never);

export type DataOf<Listed, Name> = Name extends keyof Listed ? Listed[Name] : unknown;

/**
 * What is received: one variant for each listed name, so that `switch (message.name)` narrows `data`. Names that are not
 * listed come as the variant whose name has type `undefined` (TypeScript can't say "any other text"): the `default`.
 */
export type Received<Kind, Listed, Additional> =
  | { [Name in keyof Listed & string]: Kind & { name: Name; data: Listed[Name] } }[keyof Listed & string]
  | (Additional extends true ? Kind & { name?: undefined; data: unknown } : never);
