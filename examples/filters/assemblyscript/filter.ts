// Adds the response header `x-filter`: its value is the plugin configuration, or "assemblyscript" when that is empty.
export * from "@solo-io/proxy-runtime/proxy";
import { Context, FilterHeadersStatusValues, RootContext, registerRootContext, stream_context } from "@solo-io/proxy-runtime";
import { BufferTypeValues, get_buffer_bytes } from "@solo-io/proxy-runtime/runtime";

class Plugin extends RootContext {
  value: string = "assemblyscript";

  // Instead of the SDK's own, which hands the host the configuration's size as the address to write it to: that
  // damages memory, and leaves getConfiguration() empty.
  onConfigure(size: u32): bool {
    if (size > 0) this.value = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    return true;
  }

  createContext(context_id: u32): Context {
    return new Request(context_id, this);
  }
}

class Request extends Context {
  constructor(context_id: u32, plugin: Plugin) {
    super(context_id, plugin);
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    stream_context.headers.response.add("x-filter", (this.root_context as Plugin).value);
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => new Plugin(context_id), "");
