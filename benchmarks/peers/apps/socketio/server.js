// Socket.IO. usage: node server.js PORT [--redis PORT] [--fast]; --fast: as "Performance tuning" of its documentation advises.
const http = require("http");
const { parseArgs } = require("util");

const { values, positionals } = parseArgs({
  options: { redis: { type: "string" }, fast: { type: "boolean", default: false } },
  allowPositionals: true,
});

// bufferutil, the binary add-on which it advises, is used by `ws` wherever it is installed; this keeps it away.
if (!values.fast) process.env.WS_NO_BUFFER_UTIL = "1";
const { Server } = require("socket.io");

async function adapter() {
  const { createClient } = require("redis");
  const { createAdapter } = require("@socket.io/redis-adapter");
  const publishing = createClient({ url: `redis://127.0.0.1:${values.redis}` });
  const subscribing = publishing.duplicate();
  await Promise.all([publishing.connect(), subscribing.connect()]);
  return createAdapter(publishing, subscribing);
}

async function main() {
  const server = http.createServer();
  const io = new Server(server, values.fast ? { transports: ["websocket"], perMessageDeflate: false } : {});
  if (values.redis) io.adapter(await adapter());
  // "By default, a reference to the first HTTP request of each session is kept in memory."
  if (values.fast) io.engine.on("connection", (raw) => { raw.request = null; });
  io.on("connection", (socket) => {
    socket.on("join", (room) => { socket.join(room); socket.emit("joined", room); });
    socket.on("publish", (room, data) => { io.to(room).emit("message", data); });
  });
  server.listen(Number(positionals[0]), "127.0.0.1");
}

main();
