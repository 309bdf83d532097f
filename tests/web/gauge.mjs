// What a page and its workers hold and do, by Chromium's own instruments.

/** Instruments of a page; workers count from their start on, so begin before there are any. */
export async function gauge(page) {
  const devtools = await page.context().newCDPSession(page);
  const workers = new Set();
  const waiting = new Map();
  let next = 1;
  // Sessions of workers have no object of their own in playwright: their messages are passed on.
  const ask = (sessionId, method) => new Promise((resolve, reject) => {
    const id = next++;
    waiting.set(id, { resolve, reject, sessionId });
    devtools.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method }) }).catch(reject);
  });
  devtools.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result, error } = JSON.parse(message);
    const call = waiting.get(id);
    waiting.delete(id);
    if (error) call?.reject(new Error(error.message));
    else call?.resolve(result);
  });
  devtools.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => targetInfo.type === "worker" && workers.add(sessionId));
  devtools.on("Target.detachedFromTarget", ({ sessionId }) => {
    workers.delete(sessionId);
    for (const [id, call] of waiting) {
      if (call.sessionId === sessionId && waiting.delete(id)) call.reject(new Error("the worker has ended"));
    }
  });
  await devtools.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  await devtools.send("HeapProfiler.enable");
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });

  const heap = async (send) => {
    // What the first collection lets go of may hold on to more.
    for (let round = 0; round < 3; round++) await send("HeapProfiler.collectGarbage");
    return (await send("Runtime.getHeapUsage")).usedSize;
  };
  return {
    /** Bytes of JavaScript's objects after a collection: the page's, and those of each worker. */
    async heaps() {
      const used = [await heap((method) => devtools.send(method))];
      for (const session of workers) used.push(await heap((method) => ask(session, method)));
      return used;
    },
    /** Milliseconds of processor time that tasks of the page's own thread have taken so far. */
    async busy() {
      const { metrics } = await devtools.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "TaskDuration").value * 1e3;
    },
  };
}
