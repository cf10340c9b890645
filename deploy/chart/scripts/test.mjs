/**
 * `helm test`: asks every replica whether it is ready, and both listeners what a browser and kubectl would see first. It runs in the server's own
 * image, with nothing but Node, and ends with 1 at the first check that fails.
 */
import { lookup } from 'node:dns/promises';
import { request as http } from 'node:http';
import { request as https } from 'node:https';
import { checkServerIdentity } from 'node:tls';

const { OPS_URL, WEB_URL, API_URL, PUBLIC_URL, API_HOSTS, REPLICAS } = process.env;

/** @returns status, body, and the certificate where there is one: who trusts its issuer is for browsers and kubectl to say */
const ask = (url, { host, servername, address } = {}) =>
  new Promise((resolve, reject) => {
    const target = new URL(url);
    const options = {
      host: address ?? target.hostname,
      port: target.port,
      path: target.pathname + target.search,
      headers: { host: host ?? target.host },
      timeout: 5_000,
      ...(target.protocol === 'https:' ? { servername, rejectUnauthorized: false, agent: false } : {}),
    };
    const request = (target.protocol === 'https:' ? https : http)(options, (response) => {
      const certificate = response.socket.getPeerCertificate?.();
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString(), certificate }),
      );
    });
    request.on('timeout', () => request.destroy(new Error('no response within 5 s')));
    request.on('error', (error) => reject(new Error(`${url}: ${error.message}`)));
    request.end();
  });

const insist = (fine, what) => {
  if (!fine) throw new Error(what);
};

const validFor = (host, certificate) => {
  const wrong = checkServerIdentity(host, certificate);
  insist(wrong === undefined, `the certificate is not valid for ${host}: ${wrong?.message}`);
  insist(
    Date.parse(certificate.valid_to) > Date.now(),
    `the certificate for ${host} has expired on ${certificate.valid_to}`,
  );
};

const everyReplica = async () => {
  const { hostname } = new URL(OPS_URL);
  const addresses = await lookup(hostname, { all: true });
  insist(
    addresses.length >= Number(REPLICAS),
    `${addresses.length} replicas have an address, and ${REPLICAS} are wanted`,
  );
  for (const { address } of addresses) {
    const { status, body } = await ask(`${OPS_URL}/readyz?verbose&exclude=shutdown`, { address });
    insist(status === 200, `the replica at ${address} is not ready: ${body}`);
  }
  return `${addresses.length} are ready`;
};

const signIn = async () => {
  const host = new URL(PUBLIC_URL).host;
  const servername = new URL(PUBLIC_URL).hostname;
  const { status, body, certificate } = await ask(`${WEB_URL}/.well-known/openid-configuration`, { host, servername });
  insist(status === 200, `discovery has the status ${status}: ${body.slice(0, 200)}`);
  if (certificate?.valid_to !== undefined) validFor(servername, certificate);
  const { issuer, jwks_uri: keys } = JSON.parse(body);
  insist(issuer === PUBLIC_URL, `the issuer is ${issuer}, and publicUrl ${PUBLIC_URL}`);
  const set = await ask(`${WEB_URL}${new URL(keys).pathname}`, { host, servername });
  insist(JSON.parse(set.body).keys?.length > 0, 'there is no key that signs tokens');
  return `${issuer} with its keys`;
};

const kubernetes = async () => {
  if (API_URL === '') return 'not asked: with api.proxyProtocol only the load balancer may connect';
  for (const host of API_HOSTS.split(' ')) {
    const { status, body, certificate } = await ask(`${API_URL}/api`, { host, servername: host });
    validFor(host, certificate);
    insist(status === 401, `a request without a credential to ${host} has the status ${status}, not 401`);
    insist(
      JSON.parse(body).kind === 'Status',
      `a rejection at ${host} is no Status of Kubernetes: ${body.slice(0, 200)}`,
    );
  }
  return `${API_HOSTS} with a valid certificate, and closed without a credential`;
};

for (const [name, check] of Object.entries({ replicas: everyReplica, web: signIn, api: kubernetes })) {
  try {
    process.stdout.write(`ok ${name}: ${await check()}\n`);
  } catch (error) {
    process.stderr.write(`failed ${name}: ${error.message}\n`);
    process.exitCode = 1;
    break;
  }
}
