"""Headless Chromium for the tests of pages: Debian's chromium, chromium-driver and
python3-selenium. One browser serves all tests of a module; each test gets a fresh tab."""

import json
import os

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from .wait import eventually

OPTIONS = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync",
           "--disable-default-apps", "--disable-extensions", "--no-proxy-server", "--lang=en")


class Browser:
    def __init__(self, folder):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for option in OPTIONS + (f"--user-data-dir={folder}",):
            options.add_argument(option)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium refuses to run as root with it
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service("/usr/bin/chromedriver", log_path=os.devnull)
        self.driver = webdriver.Chrome(service=service, options=options)
        self.driver.set_page_load_timeout(60)
        self._requests = []

    def quit(self):
        self.driver.quit()

    # ---- pages

    def open(self, url, width=1280, height=900, dark=False, token=None):
        """A page in a tab without history, storage or logs; token: already logged in."""
        d = self.driver
        d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        d.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        d.get("about:blank")
        d.execute_cdp_cmd("Storage.clearDataForOrigin",
                          {"origin": url.rstrip("/"), "storageTypes": "all"})
        script = "sessionStorage.clear();"
        if token:
            script += f"sessionStorage.setItem('larder-token', {json.dumps(token)});"
        added = d.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        d.get_log("browser"), d.get_log("performance")
        self._requests = []
        d.get(url)
        d.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def js(self, code, *args):
        return self.driver.execute_script(code, *args)

    # ---- elements, by CSS selector

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def shown(self, selector):
        return any(e.is_displayed() for e in
                   self.driver.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector):
        """The text that is there, visible or not."""
        return self.js("return document.querySelector(arguments[0]).textContent", selector)

    def click(self, selector):
        eventually(lambda: self.shown(selector), 20, f"{selector} to be seen")
        self.find(selector).click()

    def type(self, selector, text):
        self.find(selector).clear()
        self.find(selector).send_keys(text)

    def wait(self, check, what, timeout=30):
        return eventually(check, timeout, what, interval=0.05)

    # ---- what the browser saw

    def console(self):
        """Messages since the page was opened or this was asked last."""
        return [e for e in self.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]

    def requests(self):
        """URLs of all requests since the page was opened."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests.append(message["params"]["request"]["url"])
        return self._requests
