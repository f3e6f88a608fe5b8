import type { ViewFrame } from "@ai-token-vault/client";

/** The picture of a browser on a canvas. */
export interface Picture {
  /** Of the page that is shown, in CSS pixels. */
  readonly size: { width: number; height: number };
  draw(frame: ViewFrame): void;
}

/** Draws frames on a canvas, only the newest where they come faster. Calls onBroken for the first that is none. */
export function createPicture(canvas: HTMLCanvasElement, onBroken: () => void): Picture {
  const pen = canvas.getContext("2d", { alpha: false });
  let size = { width: 0, height: 0 };
  let latest: ViewFrame | undefined;
  let busy = false;
  let broken = false;

  const next = async () => {
    if (busy) return;
    busy = true;
    for (let frame = latest; frame; frame = latest) {
      latest = undefined;
      try {
        const bitmap = await createImageBitmap(frame.jpeg);
        size = { width: frame.width, height: frame.height };
        if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
          canvas.width = bitmap.width;
          canvas.height = bitmap.height;
        }
        pen?.drawImage(bitmap, 0, 0);
        bitmap.close();
        broken = false;
      } catch {
        if (!broken) onBroken();
        broken = true;
      }
    }
    busy = false;
  };

  return {
    get size() {
      return size;
    },
    draw(frame) {
      latest = frame;
      void next();
    },
  };
}
