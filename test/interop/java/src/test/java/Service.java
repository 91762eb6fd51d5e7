import com.azure.core.credential.AccessToken;
import com.azure.core.credential.TokenCredential;
import com.azure.core.http.policy.HttpPipelinePolicy;
import com.azure.core.http.policy.RetryOptions;
import com.azure.core.http.policy.FixedDelayOptions;
import com.azure.core.util.BinaryData;
import com.azure.security.attestation.AttestationAdministrationClient;
import com.azure.security.attestation.AttestationAdministrationClientBuilder;
import com.azure.security.attestation.AttestationClient;
import com.azure.security.attestation.AttestationClientBuilder;
import com.azure.security.attestation.models.AttestationSigningKey;
import com.azure.security.attestation.models.AttestationTokenValidationOptions;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import reactor.core.publisher.Mono;

/** The service under test, as the environment describes it, and clients of it. */
final class Service {
    static final String URL = System.getenv("PROBITY_URL");
    static final String ISOLATED_URL = System.getenv("PROBITY_ISOLATED_URL");
    static final String TPM_URL = System.getenv("PROBITY_TPM_URL");
    private static final Path FOLDER = Path.of(System.getenv("PROBITY_EVIDENCE"));

    private Service() {}

    /** What a client sent, one line for each request: method, path and query. */
    static final List<String> REQUESTS = new CopyOnWriteArrayList<>();

    private static final HttpPipelinePolicy RECORD = (context, next) -> {
        var url = context.getHttpRequest().getUrl();
        REQUESTS.add(context.getHttpRequest().getHttpMethod() + " " + url.getFile());
        return next.process();
    };

    private static final RetryOptions ONCE = new RetryOptions(new FixedDelayOptions(0, Duration.ofMillis(1)));

    static TokenCredential as(String token) {
        return request -> {
            if (!request.getScopes().equals(List.of("https://attest.azure.net/.default"))) {
                return Mono.error(new AssertionError("scopes " + request.getScopes()));
            }
            return Mono.just(new AccessToken(token, OffsetDateTime.now().plusHours(1)));
        };
    }

    private static AttestationTokenValidationOptions validation(String issuer) {
        return new AttestationTokenValidationOptions().setExpectedIssuer(issuer);
    }

    /** A client without a credential. */
    static AttestationClient anonymous() {
        return new AttestationClientBuilder().endpoint(URL).tokenValidationOptions(validation(URL))
            .retryOptions(ONCE).addPolicy(RECORD).buildClient();
    }

    static AttestationClient authenticated() {
        return new AttestationClientBuilder().endpoint(URL).credential(as(System.getenv("PROBITY_ADMIN_TOKEN")))
            .retryOptions(ONCE).buildClient();
    }

    static AttestationAdministrationClient administrator(String url) {
        return administrator(url, System.getenv("PROBITY_ADMIN_TOKEN"));
    }

    static AttestationAdministrationClient administrator(String url, String token) {
        return new AttestationAdministrationClientBuilder().endpoint(url).credential(as(token))
            .tokenValidationOptions(validation(url)).retryOptions(ONCE).buildClient();
    }

    static byte[] bytes(String name) {
        try {
            return Files.readAllBytes(FOLDER.resolve(name));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    static BinaryData data(String name) {
        return BinaryData.fromBytes(bytes(name));
    }

    static X509Certificate certificate(String name) {
        try {
            return (X509Certificate) CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(bytes(name + "-cert.pem")));
        } catch (GeneralSecurityException e) {
            throw new AssertionError(e);
        }
    }

    /** An RSA key with its certificate. */
    static AttestationSigningKey signer(String name) {
        String pem = new String(bytes(name + "-key.pem")).replaceAll("-----[^-]+-----|\\s", "");
        try {
            var key = KeyFactory.getInstance("RSA")
                .generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
            return new AttestationSigningKey(certificate(name), key);
        } catch (GeneralSecurityException e) {
            throw new AssertionError(e);
        }
    }
}
