// A room server as small as Socket.IO allows: what is said to a room goes to all who joined it.

import { createServer } from "node:http";
import { Server } from "socket.io";

const BACKLOG = 4096;

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });
io.on("connection", (socket) => {
  const { room, listens } = socket.handshake.auth;
  if (listens) socket.join(room);
  socket.on("say", (to, text) => io.to(to).emit("said", text));
});
http.listen(0, "127.0.0.1", BACKLOG, () => console.log(`127.0.0.1:${http.address().port}`));
