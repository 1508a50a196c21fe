"""The picture of ``browser.md``: ``python tools/browser_picture.py`` from the repository's root.

A drive in a headless Chromium, seen after some seconds of the autopilot's: needs chromium and chromium-driver. Writes
docs/img/browser.jpg.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

from neuralsim.bench.options import browser_command

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "img" / "browser.jpg"
DRIVEN = 27.0  # s


def picture(driver: webdriver.Chrome, address: str) -> np.ndarray:
    """u8 (H, W, 3) BGR: the page, driving."""
    driver.get(address)
    while not driver.execute_script("return (window.neuralsim?.hud.seenRendered ?? 0) > 5"):
        time.sleep(0.1)
    ActionChains(driver).key_down("w").perform()
    time.sleep(2.0)
    ActionChains(driver).key_up("w").send_keys("p").perform()
    time.sleep(DRIVEN)
    ActionChains(driver).move_by_offset(300, 300).perform()  # shows the buttons
    time.sleep(0.6)
    return cv2.imdecode(np.frombuffer(driver.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)


def main() -> None:
    """Drive, and write the picture."""
    options = Options()
    options.binary_location, *arguments = browser_command()
    for argument in (*arguments, "--window-size=1280,779", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", "neuralsim", "serve", "--port", "0", "--runtime", "openvino"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "NEURALSIM_CONFIG": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            assert server.stdout is not None
            cv2.imwrite(str(OUT), picture(driver, server.stdout.readline().split()[-1]), [cv2.IMWRITE_JPEG_QUALITY, 88])
        finally:
            driver.quit()
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
