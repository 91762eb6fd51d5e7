import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.exception.HttpResponseException;
import com.azure.security.attestation.models.AttestationPolicySetOptions;
import com.azure.security.attestation.models.AttestationType;
import com.azure.security.attestation.models.CertificateModification;
import com.azure.security.attestation.models.PolicyManagementCertificateOptions;
import com.azure.security.attestation.models.PolicyModification;
import java.security.MessageDigest;
import java.util.HexFormat;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Azure's Java client manages policies and the certificates that sign them. */
class PolicyTest {
    private static final AttestationType SGX = AttestationType.SGX_ENCLAVE;
    private static final String PERMIT =
        "version=1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type=\"mine\", value=1);};";
    private static final String DENY = "version=1.0; authorizationrules{[type==\"x-ms-sgx-svn\", value>=9] => permit();};";

    private final com.azure.security.attestation.AttestationAdministrationClient admin = Service.administrator(Service.URL);

    @AfterEach
    void reset() {
        admin.resetAttestationPolicy(SGX);
    }

    @Test
    void get() {
        for (var type : new AttestationType[] {SGX, AttestationType.OPEN_ENCLAVE}) {
            assertTrue(admin.getAttestationPolicy(type).startsWith("version"), type.toString());
        }
    }

    @Test
    void setUnsigned() {
        var result = admin.setAttestationPolicy(SGX, DENY);
        assertEquals(PolicyModification.UPDATED, result.getPolicyResolution());
        assertNull(result.getPolicySigner());
        assertArrayEquals(admin.calculatePolicyTokenHash(DENY, null).toBytes(), result.getPolicyTokenHash().toBytes());
        assertEquals(DENY, admin.getAttestationPolicy(SGX));
        var e = assertThrows(HttpResponseException.class, () -> Service.anonymous().attestSgxEnclave(Service.data("quote.bin")));
        assertTrue(e.getMessage().contains("PolicyEvaluationError"), e.getMessage());
    }

    @Test
    void setSigned() {
        // With RSA only: this client calls every signature RS256.
        var signer = Service.signer("rsa");
        var set = new AttestationPolicySetOptions().setAttestationPolicy(PERMIT).setAttestationSigner(signer);
        var result = admin.setAttestationPolicy(SGX, set);
        assertEquals(PolicyModification.UPDATED, result.getPolicyResolution());
        assertEquals(signer.getCertificate(), result.getPolicySigner().getCertificates().get(0));
        assertEquals(PERMIT, admin.getAttestationPolicy(SGX));
        var attested = Service.anonymous().attestSgxEnclave(Service.data("quote.bin"));
        assertEquals(signer.getCertificate(), attested.getPolicySigner().getCertificates().get(0));
    }

    @Test
    void resetToTheDefault() {
        admin.setAttestationPolicy(SGX, DENY);
        assertEquals(PolicyModification.REMOVED, admin.resetAttestationPolicy(SGX).getPolicyResolution());
        assertTrue(admin.getAttestationPolicy(SGX).startsWith("version= 1.1;"));
        assertEquals("sgx", Service.anonymous().attestSgxEnclave(Service.data("quote.bin")).getVerifierType());
    }

    @Test
    void policyThatDoesNotParse() {
        var e = assertThrows(HttpResponseException.class, () -> admin.setAttestationPolicy(SGX, "version=1.0;"));
        assertEquals(400, e.getResponse().getStatusCode());
        assertTrue(e.getMessage().contains("PolicyParsingError"), e.getMessage());
    }

    @Test
    void callerThatIsNotKnown() {
        var stranger = Service.administrator(Service.URL, "unknown-token");
        var e = assertThrows(HttpResponseException.class, () -> stranger.setAttestationPolicy(SGX, PERMIT));
        assertEquals(401, e.getResponse().getStatusCode());
    }

    @Test
    void certificates() throws Exception {
        var isolated = Service.administrator(Service.ISOLATED_URL);
        var rsa = Service.signer("rsa");
        assertEquals(1, isolated.listPolicyManagementCertificates().getAttestationSigners().size());
        var e = assertThrows(HttpResponseException.class, () -> isolated.setAttestationPolicy(SGX, PERMIT));
        assertEquals(400, e.getResponse().getStatusCode());
        assertTrue(e.getMessage().contains("InvalidOperation"), e.getMessage());

        var ec = Service.certificate("ec");
        var added = isolated.addPolicyManagementCertificate(new PolicyManagementCertificateOptions(ec, rsa));
        assertEquals(CertificateModification.IS_PRESENT, added.getCertificateResolution());
        var thumbprint = HexFormat.of().withUpperCase().formatHex(MessageDigest.getInstance("SHA-1").digest(ec.getEncoded()));
        assertEquals(thumbprint, added.getCertificateThumbprint());
        assertEquals(2, isolated.listPolicyManagementCertificates().getAttestationSigners().size());
        var set = new AttestationPolicySetOptions().setAttestationPolicy(PERMIT).setAttestationSigner(rsa);
        assertEquals(PolicyModification.UPDATED, isolated.setAttestationPolicy(SGX, set).getPolicyResolution());

        var removed = isolated.deletePolicyManagementCertificate(new PolicyManagementCertificateOptions(ec, rsa));
        assertEquals(CertificateModification.IS_ABSENT, removed.getCertificateResolution());
        assertEquals(1, isolated.listPolicyManagementCertificates().getAttestationSigners().size());
        var reset = new AttestationPolicySetOptions().setAttestationSigner(rsa);
        assertEquals(PolicyModification.REMOVED, isolated.resetAttestationPolicy(SGX, reset).getPolicyResolution());
    }
}
