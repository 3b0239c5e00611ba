// The job of usersig as it is usually done on Node.js: verify an HS256 session, sign a UserSig, answer with it.
import fastify from "fastify";
import jwt from "jsonwebtoken";
import tls from "tls-sig-api-v2";

const { SECRET: secret, SESSION_SECRET: sessionSecret, PORT: port } = process.env;
const sdkAppId = 1400000000;
const expire = 86400;
const signer = new tls.Api(sdkAppId, secret);
const app = fastify();
app.post("/v1/usersig", (request, reply) => {
  const token = request.headers.authorization?.replace(/^Bearer /, "");
  let userId;
  try {
    userId = jwt.verify(token, sessionSecret, { algorithms: ["HS256"] }).sub;
  } catch {
    return reply.code(401).send({ code: "invalid_session" });
  }
  reply.header("cache-control", "no-store").send({ sdkAppId, userId, userSig: signer.genUserSig(userId, expire), expire });
});
await app.listen({ host: "127.0.0.1", port: Number(port) });
