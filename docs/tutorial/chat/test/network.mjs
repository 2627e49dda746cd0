// The network of one browser: a TCP relay to the node that can be down. (Chromium's own offline mode leaves open
// sockets open.)
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Network {
  #sockets = new Set();
  #isDown = false;
  #server;

  static async open(port) {
    const network = new Network();
    network.#server = createServer((near) => {
      if (network.#isDown) return near.destroy();
      const far = connect(port, "127.0.0.1");
      for (const [one, other] of [[near, far], [far, near]]) {
        network.#sockets.add(one);
        one.on("error", () => {}).on("close", () => network.#sockets.delete(one) && other.destroy());
        one.pipe(other);
      }
    }).listen(0, "127.0.0.1");
    await once(network.#server, "listening");
    return network;
  }

  get url() {
    return `ws://127.0.0.1:${this.#server.address().port}/v1/connect`;
  }

  goDown() {
    this.#isDown = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  comeBack() {
    this.#isDown = false;
  }

  close() {
    this.goDown();
    this.#server.close();
  }
}
