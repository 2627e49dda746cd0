/** The same command as code, for a reader to paste. */

type Command = Record<string, unknown> & { type?: string; room?: string };

const json = (value: unknown): string => JSON.stringify(value ?? null);

/** JSON's literals as Python writes them. */
function python(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, each]) => `${json(name)}: ${python(each)}`).join(", ")}}`;
  }
  return json(value);
}

export function typescript(command: Command, url: string): string {
  const room = `const client = createClient({ url: ${json(url)}, getToken });\nconst room = client.room(${json(command.room ?? "chat")});`;
  const head = `import { createClient } from "@roomcast/client";\n\n${room}\n`;
  if (command.type === "publish") return `${head}await room.publish(${json(command.name)}, ${json(command.data)});\n`;
  if (command.type === "signal") return `${head}room.signal(${json(command.name)}, ${json(command.data)});\n`;
  if (command.type === "send") return `${head}await client.send(${json(command.user)}, ${json(command.data)});\n`;
  return `${head}room.on("message", (message) => console.log(message.data));\n`;
}

export function pythonCode(command: Command, url: string): string {
  const room = json(command.room ?? "chat");
  const head = `from roomcast_client import Client\n\nasync with Client(${json(url)}, get_token=get_token) as client, client.room(${room}) as room:\n`;
  if (command.type === "publish") return `${head}    await room.publish(${python(command.name)}, ${python(command.data)})\n`;
  if (command.type === "signal") return `${head}    await room.signal(${python(command.name)}, ${python(command.data)})\n`;
  return `${head}    async for event in room:\n        print(event)\n`;
}

/** Over HTTP, with a user's token: only some commands are served there. */
export function curl(command: Command, origin: string): string {
  const body = JSON.stringify(command).replaceAll("'", "'\\''");
  return `curl -sS ${origin}/v1/commands -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '${body}'\n`;
}
