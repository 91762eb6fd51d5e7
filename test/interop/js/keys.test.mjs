// Microsoft's client of Key Vault, unmodified, logged in by Microsoft's identity library at the issuer of
// `serve --dev`. The environment is that of attest.test.mjs. The keys that are released are left in the folder of
// the evidence, where the test that started this one opens them.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AttestationClient } from "@azure/attestation";
import { ClientSecretCredential } from "@azure/identity";
import { KeyClient } from "@azure/keyvault-keys";

const url = process.env.PROBITY_URL;
const folder = process.env.PROBITY_EVIDENCE;
const read = (name) => readFileSync(join(folder, name));
const credential = (role) => new ClientSecretCredential("dev", role, "any", { authorityHost: url, disableInstanceDiscovery: true });

/** A client with a role, and what it sent. */
function as(role) {
  const lines = [];
  const record = {
    name: "record",
    async sendRequest(request, next) {
      const u = new URL(request.url);
      lines.push({ line: `${request.method} ${u.pathname}`, query: u.search, body: request.body, authorized: request.headers.has("Authorization") });
      return next(request);
    },
  };
  const client = new KeyClient(url, credential(role), {
    disableChallengeResourceVerification: true,
    retryOptions: { maxRetries: 0 },
    additionalPolicies: [{ policy: record, position: "perRetry" }],
  });
  return { client, lines };
}

const policyOf = (...claims) => ({
  encodedPolicy: Buffer.from(JSON.stringify({ version: "1.0.0", anyOf: [{ authority: url, allOf: claims.map(([claim, equals]) => ({ claim, equals })) }] })),
});
const debuggable = (is) => policyOf(["x-ms-sgx-is-debuggable", is]);
const all = async (pages) => {
  const list = [];
  for await (const one of pages) list.push(one);
  return list;
};
const { client: officer, lines } = as("officer");
const { client: releaser } = as("releaser");

/** A token of the machine whose key is in the folder. */
async function attest() {
  const { token } = await new AttestationClient(url).attestSgxEnclave(read("machine-quote.bin"), { runTimeJson: read("machine-runtime.json") });
  return token.serialize();
}

test("the first request has no token and no body, the second has both", async () => {
  const made = await officer.createRsaKey("challenged", { exportable: true, releasePolicy: debuggable("false") });
  const [first, second] = lines;
  assert.deepEqual([first.line, first.authorized, first.body ?? ""], ["POST /keys/challenged/create", false, ""]);
  assert.equal(second.authorized, true);
  assert.match(first.query, /^\?api(-|%2D)version=2025-07-01$/i);
  assert.equal(made.properties.vaultUrl, url);
});

test("a key is created with every attribute", async () => {
  const notBefore = new Date("2026-01-02T03:04:05Z");
  const expiresOn = new Date("2037-01-02T03:04:05Z");
  const policy = { ...debuggable("false"), contentType: "application/json; charset=utf-8" };
  const made = await officer.createKey("Disk-1", "RSA-HSM", {
    keySize: 3072, keyOps: ["wrapKey", "unwrapKey"], enabled: true, notBefore, expiresOn, exportable: true, releasePolicy: policy, tags: { team: "storage" },
  });
  assert.equal(made.name, "Disk-1");
  assert.equal(made.keyType, "RSA-HSM");
  assert.deepEqual(made.keyOperations, ["wrapKey", "unwrapKey"]);
  assert.equal(made.key.n.length, 384);
  assert.deepEqual([...made.key.e], [1, 0, 1]);
  const p = made.properties;
  assert.deepEqual([p.enabled, p.exportable, p.recoverableDays, p.recoveryLevel], [true, true, 90, "Recoverable+Purgeable"]);
  assert.deepEqual([p.notBefore, p.expiresOn, p.tags], [notBefore, expiresOn, { team: "storage" }]);
  assert.ok(p.createdOn instanceof Date && p.updatedOn instanceof Date);
  assert.match(p.version, /^[0-9a-f]{32}$/);
  assert.equal(p.id, `${url}/keys/Disk-1/${p.version}`);
  assert.deepEqual(Buffer.from(p.releasePolicy.encodedPolicy), policy.encodedPolicy);
  assert.equal(p.releasePolicy.contentType, policy.contentType);
  assert.equal(p.releasePolicy.immutable, false);
});

test("keys of each kind are created, imported and read", async () => {
  assert.equal((await officer.createEcKey("ec", { curve: "P-384" })).key.crv, "P-384");
  assert.equal((await officer.createEcKey("ec-hsm", { hsm: true })).keyType, "EC-HSM");
  const oct = await officer.createOctKey("oct", { keySize: 256, exportable: true, releasePolicy: debuggable(false), hsm: true });
  assert.deepEqual([oct.keyType, oct.key.k, oct.key.n], ["oct-HSM", undefined, undefined]);

  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = privateKey.export({ format: "jwk" });
  const numbers = Object.fromEntries(Object.entries(jwk).map(([name, text]) => [name, name === "kty" ? text : Buffer.from(text, "base64url")]));
  const imported = await officer.importKey("imported", { ...numbers, keyOps: ["encrypt", "decrypt"] }, { hardwareProtected: true, exportable: true, releasePolicy: debuggable("false") });
  assert.equal(imported.keyType, "RSA-HSM");
  assert.deepEqual(Buffer.from(imported.key.n), numbers.n);
  assert.equal(imported.key.d, undefined);
  writeFileSync(join(folder, "imported.jwk"), JSON.stringify(jwk));

  const latest = await officer.getKey("imported");
  const named = await officer.getKey("imported", { version: latest.properties.version });
  assert.deepEqual(named, latest);
});

test("lists go over pages, and versions are counted", async () => {
  for (let n = 0; n < 26; n++) await officer.createEcKey(`many-${n}`);
  const names = (await all(officer.listPropertiesOfKeys())).map((k) => k.name);
  for (let n = 0; n < 26; n++) assert.ok(names.includes(`many-${n}`));
  assert.equal(new Set(names).size, names.length);
  let pages = 0;
  for await (const page of officer.listPropertiesOfKeys().byPage({ maxPageSize: 7 })) {
    assert.ok(page.length <= 7);
    pages++;
  }
  assert.equal(pages, Math.ceil(names.length / 7));

  const first = await officer.createRsaKey("turning", { tags: { a: "b" } });
  const second = await officer.rotateKey("turning");
  assert.notEqual(second.properties.version, first.properties.version);
  assert.deepEqual(second.properties.tags, { a: "b" });
  const versions = await all(officer.listPropertiesOfKeyVersions("turning"));
  assert.deepEqual(versions.map((v) => v.version).sort(), [first, second].map((k) => k.properties.version).sort());
});

test("attributes, operations and the release policy are updated", async () => {
  const made = await officer.createRsaKey("changing", { exportable: true, releasePolicy: debuggable("true") });
  const { version } = made.properties;
  const changed = await officer.updateKeyProperties("changing", version, { enabled: false, keyOps: ["decrypt"], tags: { x: "y" } });
  assert.deepEqual([changed.properties.enabled, changed.keyOperations, changed.properties.tags], [false, ["decrypt"], { x: "y" }]);
  const back = await officer.updateKeyProperties("changing", { enabled: true, releasePolicy: debuggable("false") });
  assert.equal(back.properties.enabled, true);
  assert.deepEqual(Buffer.from(back.properties.releasePolicy.encodedPolicy), debuggable("false").encodedPolicy);
});

test("a rotation policy is set and read", async () => {
  await officer.createRsaKey("yearly");
  const standard = await officer.getKeyRotationPolicy("yearly");
  assert.equal(standard.lifetimeActions[0].action, "Notify");
  const set = await officer.updateKeyRotationPolicy("yearly", {
    expiresIn: "P2Y", lifetimeActions: [{ action: "Rotate", timeAfterCreate: "P1Y" }, { action: "Notify", timeBeforeExpiry: "P30D" }],
  });
  assert.equal(set.expiresIn, "P2Y");
  const got = await officer.getKeyRotationPolicy("yearly");
  assert.equal(got.id, `${url}/keys/yearly/rotationpolicy`);
  assert.deepEqual(got.lifetimeActions, set.lifetimeActions);
  assert.ok(got.createdOn instanceof Date && got.updatedOn instanceof Date);
});

test("a key is deleted, recovered, backed up, purged and restored", async () => {
  const made = await officer.createRsaKey("passing");
  const deleted = await (await officer.beginDeleteKey("passing", { intervalInMs: 50 })).pollUntilDone();
  const p = deleted.properties;
  assert.equal(p.recoveryId, `${url}/deletedkeys/passing`);
  assert.ok(p.deletedOn instanceof Date && p.scheduledPurgeDate > p.deletedOn);
  assert.equal((await officer.getDeletedKey("passing")).name, "passing");
  assert.deepEqual((await all(officer.listDeletedKeys())).map((k) => k.name), ["passing"]);
  await assert.rejects(officer.getKey("passing"), { statusCode: 404, code: "KeyNotFound" });
  await assert.rejects(officer.createRsaKey("passing"), { statusCode: 409, code: "Conflict" });
  const recovered = await (await officer.beginRecoverDeletedKey("passing", { intervalInMs: 50 })).pollUntilDone();
  assert.equal(recovered.properties.version, made.properties.version);

  const backup = await officer.backupKey("passing");
  await assert.rejects(officer.restoreKeyBackup(backup), { statusCode: 409 });
  await (await officer.beginDeleteKey("passing", { intervalInMs: 50 })).pollUntilDone();
  await officer.purgeDeletedKey("passing");
  const restored = await officer.restoreKeyBackup(backup);
  assert.equal(restored.properties.version, made.properties.version);
  await assert.rejects(officer.restoreKeyBackup(Buffer.from("none")), { statusCode: 400, code: "BadParameter" });
});

test("a key is released in each way that can be asked for", async () => {
  const target = await attest();
  const released = {};
  for (const [name, options] of Object.entries({
    imported: {}, "Disk-1": { nonce: "a nonce", algorithm: "RSA_AES_KEY_WRAP_256" }, oct: { algorithm: "RSA_AES_KEY_WRAP_384" }, challenged: { algorithm: "CKM_RSA_AES_KEY_WRAP" },
  })) {
    const { version } = (await officer.getKey(name)).properties;
    for (const asked of [undefined, version]) {
      const { value } = await releaser.releaseKey(name, target, { ...options, version: asked });
      released[`${name}${asked ? "/version" : ""}`] = { kid: `${url}/keys/${name}${asked ? `/${asked}` : ""}`, ...options, value };
    }
  }
  writeFileSync(join(folder, "released.json"), JSON.stringify(released));
});

test("what is refused says why, in the texts of Key Vault", async () => {
  const target = await attest();
  const { version } = (await officer.getKey("Disk-1")).properties;
  await officer.createRsaKey("other-machine", { exportable: true, releasePolicy: debuggable("true") });
  await officer.createRsaKey("kept");
  await officer.createRsaKey("frozen", { exportable: true, releasePolicy: { ...debuggable("false"), immutable: true } });
  const skr = (number, call) => assert.rejects(call, (e) => {
    assert.deepEqual([e.statusCode, e.code], [400, "BadParameter"]);
    assert.match(e.message, new RegExp(`^AKV\\.SKR\\.${number}: `));
    return true;
  });
  await skr(1004, officer.createRsaKey("x", { exportable: true }));
  await skr(1005, officer.createRsaKey("x", { releasePolicy: debuggable("false") }));
  await skr(1016, officer.updateKeyProperties("Disk-1", version, { releasePolicy: debuggable("true") }));
  await skr(1020, officer.updateKeyProperties("frozen", { releasePolicy: debuggable("true") }));

  const unverified = { statusCode: 403, code: "Forbidden", message: "Target environment attestation statement cannot be verified." };
  for (const token of ["x", "a.b.c", target.slice(0, -4) + "AAAA", target.split(".").slice(0, 2).join(".") + "."]) {
    await assert.rejects(releaser.releaseKey("Disk-1", token), unverified);
  }
  await assert.rejects(releaser.releaseKey("other-machine", target), {
    statusCode: 403, code: "Forbidden", message: "Target environment attestation does not meet key release policy requirements.",
  });
  await assert.rejects(releaser.releaseKey("kept", target), { statusCode: 400, code: "BadParameter" });
  await assert.rejects(releaser.releaseKey("none", target), { statusCode: 404, code: "KeyNotFound" });
  await assert.rejects(releaser.releaseKey("Disk-1", target, { algorithm: "RSA1_5" }), { statusCode: 400, code: "BadParameter" });
  await assert.rejects(releaser.createRsaKey("x"), { statusCode: 403, code: "Forbidden" });
  await assert.rejects(as("reader").client.releaseKey("Disk-1", target), { statusCode: 403, code: "Forbidden" });
  await assert.rejects(as("stranger").client.getKey("Disk-1"), /invalid_client/);
  await assert.rejects(officer.createKey("x", "RSA", { keySize: 1024 }), { statusCode: 400, code: "BadParameter" });
  // The client sends seconds in 32 bits.
  await assert.rejects(officer.createRsaKey("x", { expiresOn: new Date("2099-01-01") }), { statusCode: 400, message: /after 2038-01-19/ });
  await assert.rejects(officer.createRsaKey("a_b"), { statusCode: 400, code: "BadParameter" });
});
