// Microsoft's JavaScript client sets, reads and resets policies. The
// environment is that of attest.test.mjs, with PROBITY_ADMIN_TOKEN, and the
// folder contains a signer's keys and certificates.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AttestationAdministrationClient, AttestationClient, createAttestationPolicyToken } from "@azure/attestation";

const url = process.env.PROBITY_URL;
const folder = process.env.PROBITY_EVIDENCE;
const text = (name) => readFileSync(join(folder, name), "utf8");
const quote = readFileSync(join(folder, "quote.bin"));

const as = (token) => ({ getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3600_000 }) });
const bodies = [];
const admin = new AttestationAdministrationClient(url, as(process.env.PROBITY_ADMIN_TOKEN), {
  additionalPolicies: [{ position: "perRetry", policy: { name: "record", sendRequest(request, next) {
    if (request.method !== "GET") bodies.push({ type: request.headers.get("Content-Type"), body: request.body, method: request.method, path: new URL(request.url).pathname });
    return next(request);
  } } }],
});
const client = new AttestationClient(url);
const deny = 'version=1.0; authorizationrules{[type=="x-ms-sgx-svn", value>=9] => permit();};';
const permit = 'version=1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type="mine", value=1);};';
const hash = (s) => createHash("sha256").update(s).digest("base64url");

test("an unsigned policy is set, read byte for byte, applied, and reset", async () => {
  const { body: result, token } = await admin.setPolicy("SgxEnclave", deny);
  assert.equal(result.policyResolution, "Updated");
  assert.equal(result.policySigner, undefined);
  const expected = createAttestationPolicyToken(deny).serialize();
  assert.equal(Buffer.from(result.policyTokenHash).toString("base64url"), hash(expected));
  assert.ok(token.keyId);
  assert.equal((await admin.getPolicy("SgxEnclave")).body, deny);
  await assert.rejects(client.attestSgxEnclave(quote), { code: "PolicyEvaluationError" });
  const reset = await admin.resetPolicy("SgxEnclave");
  assert.equal(reset.body.policyResolution, "Removed");
  assert.match((await admin.getPolicy("SgxEnclave")).body, /^version= 1.1;/);
  assert.equal((await client.attestSgxEnclave(quote)).body.verifierType, "sgx");
});

test("a bare JWS as text/plain, and a reset with two dots", () => {
  const put = bodies.find((b) => b.method === "PUT");
  assert.match(put.type, /^text\/plain/);
  assert.match(put.body, /^eyJhbGciOiJub25lIn0\..+\.$/);
  const reset = bodies.find((b) => b.method === "POST");
  assert.equal(reset.body, "eyJhbGciOiJub25lIn0..");
  assert.equal(reset.path, "/policies/SgxEnclave:reset");
});

for (const kind of ["rsa", "ec"]) {
  test(`a policy signed with an ${kind} key names its signer`, async () => {
    const privateKey = text(`${kind}-key.pem`);
    const certificate = text(`${kind}-cert.pem`);
    const { body: result } = await admin.setPolicy("SgxEnclave", permit, { privateKey, certificate });
    assert.equal(result.policyResolution, "Updated");
    assert.equal(result.policySigner.certificates[0].replace(/\s/g, ""), certificate.replace(/\s/g, ""));
    assert.equal(Buffer.from(result.policyTokenHash).toString("base64url"), hash(bodies.at(-1).body));
    assert.equal((await admin.getPolicy("SgxEnclave")).body, permit);
    const { body } = await client.attestSgxEnclave(quote);
    assert.ok(body.policySigner, "the token names the signer");
    await admin.resetPolicy("SgxEnclave");
  });
}

test("a policy that does not parse is PolicyParsingError, and the old one stays", async () => {
  await admin.setPolicy("SgxEnclave", permit);
  await assert.rejects(admin.setPolicy("SgxEnclave", "version=1.0; authorizationrules{=> allow();};"), { statusCode: 400, code: "PolicyParsingError" });
  assert.equal((await admin.getPolicy("SgxEnclave")).body, permit);
  await admin.resetPolicy("SgxEnclave");
});

test("without the administrator's token: 401 Unauthorized", async () => {
  const stranger = new AttestationAdministrationClient(url, as("someone-else"), { retryOptions: { maxRetries: 0 } });
  await assert.rejects(stranger.setPolicy("SgxEnclave", permit), { statusCode: 401, code: "Unauthorized" });
  await assert.rejects(stranger.getPolicy("SgxEnclave"), { statusCode: 401 });
});

test("the quoted forms of other clients, whatever the content type", async () => {
  const jws = createAttestationPolicyToken(permit).serialize();
  for (const [type, body] of [["application/json", JSON.stringify(jws)], ["text/plain", JSON.stringify(jws)], ["application/json", jws]]) {
    const response = await fetch(`${url}/policies/TdxVm?api-version=2022-08-01`, {
      method: "PUT", body, headers: { "Content-Type": type, Authorization: `Bearer ${process.env.PROBITY_ADMIN_TOKEN}` },
    });
    assert.equal(response.status, 200);
    const { token } = await response.json();
    const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
    assert.equal(claims["x-ms-policy-token-hash"], hash(jws), "the hash is over the unquoted JWS");
  }
});
