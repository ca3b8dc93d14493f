// A gRPC client on xDS in Java, told by JSON lines what to call; the commands and answers are those of
// tests/support/programs/caller.py, and each command names its target: {"do": "call", "target": "xds:///user", "times": 3}.
//
//   java -cp 'lib/*' Client.java DESCRIPTORS
//
// DESCRIPTORS is a file with the contracts as a FileDescriptorSet: messages are built from it, so no code is generated.
// It is one source file on purpose: the JDK compiles it when it starts it.

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import com.google.protobuf.DynamicMessage;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

public final class Client {
  static final String SERVICE = "demo.calculator.v1.Calculator";

  static final class Command {
    String target = "";
    String method = "Add";
    int times = 1;
    int workers = 1;
    double timeout = 10; // seconds; 0: no deadline
    double pause = 0.002; // seconds between two calls of one worker in the background
    boolean wait_for_ready = false;
    Map<String, String> metadata = new HashMap<>();
  }

  final Gson gson = new Gson();
  final ServiceDescriptor contract;
  final Map<String, ManagedChannel> channels = new HashMap<>();
  final List<Thread> workers = new ArrayList<>();
  List<Object[]> seen = Collections.synchronizedList(new ArrayList<>());
  volatile boolean stopping = false;

  Client(ServiceDescriptor contract) {
    this.contract = contract;
  }

  static ServiceDescriptor contract(Path path) throws Exception {
    Map<String, FileDescriptor> built = new HashMap<>();
    // A FileDescriptorSet lists each file after those that it imports.
    for (FileDescriptorProto file : FileDescriptorSet.parseFrom(Files.readAllBytes(path)).getFileList()) {
      FileDescriptor[] imports = file.getDependencyList().stream().map(built::get).toArray(FileDescriptor[]::new);
      built.put(file.getName(), FileDescriptor.buildFrom(file, imports));
    }
    for (FileDescriptor file : built.values()) {
      for (ServiceDescriptor service : file.getServices()) {
        if (service.getFullName().equals(SERVICE)) {
          return service;
        }
      }
    }
    throw new IllegalArgumentException(path + " has no service " + SERVICE);
  }

  Channel channel(String target) {
    return channels.computeIfAbsent(target, name -> Grpc.newChannelBuilder(name, InsecureChannelCredentials.create()).build());
  }

  MethodDescriptor<DynamicMessage, DynamicMessage> method(String name) {
    var described = contract.findMethodByName(name);
    return MethodDescriptor.<DynamicMessage, DynamicMessage>newBuilder()
        .setType(MethodDescriptor.MethodType.UNARY)
        .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name))
        .setRequestMarshaller(ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(described.getInputType())))
        .setResponseMarshaller(ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(described.getOutputType())))
        .build();
  }

  DynamicMessage request(String name) {
    Descriptor type = contract.findMethodByName(name).getInputType();
    return DynamicMessage.newBuilder(type)
        .setField(type.findFieldByName("a"), 1.0)
        .setField(type.findFieldByName("b"), 2.0)
        .build();
  }

  static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  static String first(Metadata trailers, String name) {
    String value = trailers == null ? null : trailers.get(key(name));
    return value == null ? "" : value;
  }

  /** Returns [code, instance, version, seconds, message, began]. */
  Object[] one(Channel channel, Command asked) {
    Metadata headers = new Metadata();
    asked.metadata.forEach((name, value) -> headers.put(key(name), value));
    AtomicReference<Metadata> trailers = new AtomicReference<>();
    Channel intercepted = ClientInterceptors.intercept(
        channel,
        MetadataUtils.newAttachHeadersInterceptor(headers),
        MetadataUtils.newCaptureMetadataInterceptor(new AtomicReference<>(), trailers));
    CallOptions options = asked.wait_for_ready ? CallOptions.DEFAULT.withWaitForReady() : CallOptions.DEFAULT;
    long began = System.nanoTime();
    if (asked.timeout > 0) {
      options = options.withDeadlineAfter((long) (asked.timeout * 1e9), TimeUnit.NANOSECONDS);
    }
    Status status = Status.OK;
    try {
      ClientCalls.blockingUnaryCall(intercepted, method(asked.method), options, request(asked.method));
    } catch (StatusRuntimeException error) {
      status = error.getStatus();
    }
    double seconds = (System.nanoTime() - began) / 1e9;
    String message = status.getDescription() == null ? "" : status.getDescription();
    return new Object[] {
      status.getCode().name(),
      first(trailers.get(), "meshwright-instance"),
      first(trailers.get(), "meshwright-version"),
      seconds,
      message,
      began / 1e9
    };
  }

  List<Object[]> many(Channel channel, Command asked) throws InterruptedException {
    List<Object[]> outcomes = Collections.synchronizedList(new ArrayList<>());
    AtomicInteger left = new AtomicInteger(asked.times);
    join(spawn(asked.workers, () -> {
      while (left.getAndDecrement() > 0) {
        outcomes.add(one(channel, asked));
      }
    }));
    return outcomes;
  }

  void start(Channel channel, Command asked) {
    seen = Collections.synchronizedList(new ArrayList<>());
    stopping = false;
    List<Object[]> mine = seen;
    workers.addAll(spawn(asked.workers, () -> {
      while (!stopping) {
        mine.add(one(channel, asked));
        java.util.concurrent.locks.LockSupport.parkNanos((long) (asked.pause * 1e9));
      }
    }));
  }

  static List<Thread> spawn(int count, Runnable work) {
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      Thread thread = new Thread(work);
      thread.setDaemon(true);
      thread.start();
      threads.add(thread);
    }
    return threads;
  }

  static void join(List<Thread> threads) throws InterruptedException {
    for (Thread thread : threads) {
      thread.join();
    }
  }

  Map<String, Object> obey(String line) throws InterruptedException {
    String wanted = gson.fromJson(line, JsonObject.class).get("do").getAsString();
    Command asked = gson.fromJson(line, Command.class);
    Channel channel = channel(asked.target);
    switch (wanted) {
      case "call":
        return Map.of("outcomes", many(channel, asked));
      case "start":
        start(channel, asked);
        return Map.of();
      case "count":
        return Map.of("count", seen.size());
      case "stop":
        stopping = true;
        join(workers);
        workers.clear();
        return Map.of("outcomes", seen);
      default:
        throw new IllegalArgumentException("unknown command " + wanted);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Client client = new Client(contract(Path.of(arguments[0])));
    String version = io.grpc.internal.GrpcUtil.getGrpcBuildVersion().getImplementationVersion();
    System.out.println(client.gson.toJson(Map.of("version", version + ", java " + System.getProperty("java.version"))));
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      System.out.println(client.gson.toJson(client.obey(line)));
    }
    System.exit(0);
  }
}
